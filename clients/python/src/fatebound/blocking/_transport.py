"""Connections that block."""

from __future__ import annotations

import socket
import time
from typing import Optional, TypeVar

from .. import _answer
from .._address import UnixAddress
from .._calls import Call
from .._clock import Clock, TimeIsOver
from .._endpoint import Endpoint
from .._fork import open_socket
from .._http import MAX_BODY, Request, ResponseParser
from .._sse import Sent, SseParser
from ..errors import ForeignAnswer, NodeUnreachable, WaitTimeout

T = TypeVar("T")

_READ = 64 * 1024
_PAUSE = 0.02
"""A node whose queue of connections is full is tried again after so many seconds."""


class Connection:
    """One request and its answer, on a connection of their own."""

    def __init__(self, endpoint: Endpoint, request: Request) -> None:
        self._endpoint = endpoint
        self._request = request
        self._parser = ResponseParser()
        self._sent = False
        self._socket: Optional[socket.socket] = None
        self._aborted = False

    def ask(self, clock: Clock) -> None:
        """Sends the request, and reads the answer's head."""
        try:
            self._connect(clock)
            self._send(clock)
            while not self._parser.status:
                self._read(clock)
        except TimeIsOver:
            self.close()
            raise _answer.silent(self._endpoint.address, self._request, self._sent) from None
        except BaseException:
            self.close()
            raise

    @property
    def status(self) -> int:
        """The answer's."""
        return self._parser.status

    def body(self, clock: Clock) -> bytes:
        """The answer's body to its end; the connection is closed then."""
        try:
            while not self._parser.complete:
                if self._parser.pending > MAX_BODY:
                    raise ForeignAnswer("the answer is too long")
                self._read(clock)
            return self._parser.take()
        except TimeIsOver:
            raise _answer.silent(self._endpoint.address, self._request, self._sent) from None
        finally:
            self.close()

    def more(self, clock: Clock) -> Optional[bytes]:
        """The next part of the body; none at its end. Raises ``TimeIsOver``, after which more may be asked for."""
        while not self._parser.pending and not self._parser.complete:
            self._read(clock)
        return self._parser.take() or None

    def abort(self) -> None:
        """Ends the connection from another thread: whoever reads it is told."""
        self._aborted = True
        connection = self._socket
        if connection is not None:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        """Ends the connection. Shut down first, so that it is over although a child of a foreign ``fork`` has a copy of it."""
        self.abort()
        if self._socket is not None:
            self._socket.close()

    def _connect(self, clock: Clock) -> None:
        address = self._endpoint.address
        if isinstance(address, UnixAddress):
            self._try_connect(socket.AF_UNIX, address.path, clock)
            return
        try:
            # The system looks the name up in its own time.
            found = socket.getaddrinfo(address.name, address.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise _answer.not_reached(address, error) from None
        failure: Optional[NodeUnreachable] = None
        for family, _, _, _, place in found:
            try:
                self._try_connect(family, place, clock)
                return
            except NodeUnreachable as error:
                failure = error
        raise failure or NodeUnreachable(f"no address is known of {address}")

    def _try_connect(self, family: int, place: object, clock: Clock) -> None:
        while True:
            connection = open_socket(family)
            try:
                connection.settimeout(clock.left())
                connection.connect(place)  # type: ignore[arg-type]
            except BlockingIOError:
                connection.close()
                time.sleep(min(_PAUSE, clock.left() or _PAUSE))
                continue
            except TimeoutError:
                connection.close()
                raise TimeIsOver from None
            except (OSError, TypeError, ValueError) as error:
                connection.close()
                if isinstance(error, socket.timeout):
                    raise TimeIsOver from None
                as_os = error if isinstance(error, OSError) else OSError(str(error))
                raise _answer.not_reached(self._endpoint.address, as_os) from None
            except BaseException:
                connection.close()
                raise
            self._socket = connection
            if self._aborted:
                raise _answer.lost(self._endpoint.address)
            return

    def _send(self, clock: Clock) -> None:
        connection = self._open()
        left = memoryview(self._request.encoded(self._endpoint.address.host, self._endpoint.token))
        self._sent = True
        while left:
            connection.settimeout(clock.left())
            try:
                left = left[connection.send(left) :]
            except socket.timeout:
                raise TimeIsOver from None
            except OSError:
                # A node that refuses a request may answer before it has read all of it: the answer says why.
                return

    def _read(self, clock: Clock) -> None:
        connection = self._open()
        connection.settimeout(clock.left())
        try:
            data = connection.recv(_READ)
        except socket.timeout:
            raise TimeIsOver from None
        except OSError:
            data = b""
        self._parser.feed(data)
        if not data and not self._parser.complete:
            raise _answer.broken_off(self._endpoint.address, self._request)

    def _open(self) -> socket.socket:
        if self._socket is None:
            raise _answer.lost(self._endpoint.address)
        return self._socket

    def is_silent(self) -> bool:
        """Whether nothing has come that was not read yet, as when this process itself was stopped for a while."""
        connection = self._open()
        connection.settimeout(0)
        try:
            connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False


def make(endpoint: Endpoint, call: Call[T]) -> T:
    """Makes a call."""
    return answer(endpoint, Connection(endpoint, call.request), call)


def answer(endpoint: Endpoint, connection: Connection, call: Call[T]) -> T:
    """Makes a call on a connection that somebody else may abort."""
    clock = Clock(None if call.work is None else endpoint.patience + call.work)
    connection.ask(clock)
    return _answer.read_answer(connection.status, connection.body(clock), call.read)


class Source:
    """An open stream of server-sent events."""

    def __init__(self, endpoint: Endpoint, request: Request, silence: float, work: Optional[float] = 0.0) -> None:
        """Opens it; once it is open, no later event is missed. ``work``: how long the node may take to begin, beyond the time of every call."""
        self._endpoint = endpoint
        self._silence = silence
        self._parser = SseParser()
        self._connection = Connection(endpoint, request)
        clock = Clock(None if work is None else endpoint.patience + work)
        self._connection.ask(clock)
        self.nothing_more = self._connection.status == 204
        """The node has nothing more to say on this."""
        if self._connection.status >= 300:
            body = self._connection.body(clock)
            raise _answer.problem(self._connection.status, body)
        self._heard = time.monotonic()

    def next(self, clock: Clock) -> Optional[Sent]:
        """The next event; none at the stream's proper end. Raises ``WaitTimeout`` when the time is over, after which it goes on."""
        while True:
            sent = self._parser.pop()
            if sent is not None:
                return sent
            try:
                data = self._connection.more(self._sooner(clock))
            except TimeIsOver:
                if time.monotonic() - self._heard >= self._silence and self._connection.is_silent():
                    raise _answer.fallen_silent(self._endpoint.address, self._silence) from None
                try:
                    clock.left()
                except TimeIsOver:
                    raise WaitTimeout("nothing has come in time") from None
                continue
            except NodeUnreachable:
                raise _answer.lost(self._endpoint.address) from None
            if data is None:
                return None
            self._heard = time.monotonic()
            self._parser.feed(data)

    def abort(self) -> None:
        """Ends it from another thread."""
        self._connection.abort()

    def close(self) -> None:
        """Ends it."""
        self._connection.close()

    def _sooner(self, clock: Clock) -> Clock:
        left = clock.left()
        silence = max(self._heard + self._silence - time.monotonic(), 0.001)
        return Clock(silence if left is None else min(left, silence))
