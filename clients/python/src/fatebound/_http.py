"""HTTP/1.1 as one client needs it, without input and output: bytes in, bytes out.

The blocking and the asyncio client share it; ``http.client`` cannot be used without a socket that blocks. One connection carries one request.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional

from .errors import ForeignAnswer

MAX_HEAD = 64 * 1024
"""Bytes of an answer's head at most."""
MAX_BODY = 64 * 1024 * 1024
"""Bytes of an answer's body at most, but for a stream: a listing of 100,000 members has some 6 MB."""
_MAX_LINE = 1024


@dataclass(frozen=True)
class Request:
    """What is asked."""

    method: str
    path: str
    body: Optional[Mapping[str, Any]] = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.method == "GET"

    def encoded(self, host: str, token: Optional[str]) -> bytes:
        """As it is sent."""
        body = b"" if self.body is None else json.dumps(self.body).encode("ascii")
        headers = {"Host": host, "Connection": "close", "Accept": "application/json, text/event-stream", **self.headers}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if self.method != "GET":
            headers["Content-Length"] = str(len(body))
        if body:
            headers["Content-Type"] = "application/json"
        head = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        if any(character in line for line in head for character in "\r\n\0"):
            raise ValueError("a line break in a request's head")
        return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


class ResponseParser:
    """Reads one answer from bytes that are cut anywhere."""

    def __init__(self) -> None:
        self.status = 0
        """0 until the head is here."""
        self.headers: dict[str, str] = {}
        self.complete = False
        """Whether the body is here to its end."""
        self._bytes = bytearray()
        self._body = bytearray()
        self._chunked = False
        self._left: Optional[int] = None
        """Bytes of the body, or of the chunk, that are yet to come; for a body, none: until the connection's end."""
        self._break = False
        """The line break behind a chunk is yet to come."""
        self._trailer = False

    def feed(self, data: bytes) -> None:
        """Takes bytes; none is the connection's end."""
        if not data:
            if self.status and not self._chunked and self._left is None:
                self.complete = True
            return
        self._bytes += data
        if not self.status and not self._head():
            return
        if self._chunked:
            self._chunks()
        elif not self.complete:
            take = len(self._bytes) if self._left is None else min(self._left, len(self._bytes))
            self._take(take)
            if self._left is not None:
                self._left -= take
                self.complete = self._left == 0

    def take(self) -> bytes:
        """The part of the body that has come since the last call."""
        body = bytes(self._body)
        self._body.clear()
        return body

    @property
    def pending(self) -> int:
        """Bytes of the body that have come and were not taken."""
        return len(self._body)

    def _take(self, count: int) -> None:
        self._body += self._bytes[:count]
        del self._bytes[:count]

    def _head(self) -> bool:
        while True:
            end = self._bytes.find(b"\r\n\r\n")
            if end > MAX_HEAD or end < 0 and len(self._bytes) > MAX_HEAD:
                raise ForeignAnswer("the answer's head is too long")
            if end < 0:
                return False
            lines = bytes(self._bytes[:end]).decode("latin-1").split("\r\n")
            del self._bytes[: end + 4]
            words = lines[0].split(" ", 2)
            if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
                raise ForeignAnswer("the answer is no HTTP")
            if 100 <= int(words[1]) < 200:
                continue
            pairs = (line.partition(":") for line in lines[1:])
            self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            self.status = int(words[1])
            self._framing()
            return True

    def _framing(self) -> None:
        length = self.headers.get("content-length")
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            self._chunked = True
            self._left = 0
        elif self.status in (204, 304):
            self.complete = True
        elif length is not None:
            if not length.isdigit():
                raise ForeignAnswer("the answer's length is no number")
            self._left = int(length)
            self.complete = self._left == 0

    def _chunks(self) -> None:
        while not self.complete:
            if self._left:
                take = min(self._left, len(self._bytes))
                self._take(take)
                self._left -= take
                if self._left:
                    return
                self._break = True
            if self._break:
                if len(self._bytes) < 2:
                    return
                if self._bytes[:2] != b"\r\n":
                    raise ForeignAnswer("a chunk of the answer has another length than it says")
                del self._bytes[:2]
                self._break = False
            line = self._line()
            if line is None:
                return
            if self._trailer:
                self.complete = not line
                continue
            try:
                self._left = int(line.split(b";")[0], 16)
            except ValueError:
                raise ForeignAnswer("a chunk's length is no number") from None
            if self._left < 0:
                raise ForeignAnswer("a chunk's length is negative")
            self._trailer = self._left == 0

    def _line(self) -> Optional[bytes]:
        end = self._bytes.find(b"\r\n")
        if end > _MAX_LINE or end < 0 and len(self._bytes) > _MAX_LINE:
            raise ForeignAnswer("a line of the answer is too long")
        if end < 0:
            return None
        line = bytes(self._bytes[:end])
        del self._bytes[: end + 2]
        return line
