"""Server-sent events: lines that begin with a field's name, an empty line after each event."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Optional

from .errors import ForeignAnswer

MAX_EVENT = 4 * 1024 * 1024
"""Bytes of one event at most: one that names the 10,000 members of a group has some 600 KB."""


@dataclass(frozen=True)
class Sent:
    """One event."""

    id: Optional[str]
    data: Any


class SseParser:
    """Finds whole events in bytes that are cut anywhere. Comments, which only show that the node lives, are skipped."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> None:
        """Takes more bytes."""
        self._bytes += data

    def pop(self) -> Optional[Sent]:
        """The next whole event."""
        while True:
            end = self._bytes.find(b"\n\n", max(self._searched - 1, 0))
            if end < 0:
                self._searched = len(self._bytes)
                if self._searched > MAX_EVENT:
                    raise ForeignAnswer("an event is too long")
                return None
            block = bytes(self._bytes[:end])
            del self._bytes[: end + 2]
            self._searched = 0
            sent = _sent(block)
            if sent is not None:
                return sent


def _sent(block: bytes) -> Optional[Sent]:
    identity: Optional[str] = None
    data: list[str] = []
    for line in block.decode("utf-8", "replace").split("\n"):
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "id":
            identity = value
        elif name == "data":
            data.append(value)
    if not data:
        return None
    try:
        return Sent(identity, json.loads("\n".join(data)))
    except (ValueError, RecursionError):
        raise ForeignAnswer("an event is no JSON") from None
