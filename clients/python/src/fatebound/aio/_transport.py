"""Connections for asyncio.

Nothing is read before somebody asks for it: waiting for a socket can be cancelled at any time, and loses nothing.
"""

from __future__ import annotations

import asyncio
import errno
import os
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
        self._closed = False
        self._waiting: Optional[asyncio.Future[None]] = None

    async def ask(self, clock: Clock) -> None:
        """Sends the request, and reads the answer's head."""
        try:
            await self._connect(clock)
            await self._send(clock)
            while not self._parser.status:
                await self._read(clock)
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

    async def body(self, clock: Clock) -> bytes:
        """The answer's body to its end; the connection is closed then."""
        try:
            while not self._parser.complete:
                if self._parser.pending > MAX_BODY:
                    raise ForeignAnswer("the answer is too long")
                await self._read(clock)
            return self._parser.take()
        except TimeIsOver:
            raise _answer.silent(self._endpoint.address, self._request, self._sent) from None
        finally:
            self.close()

    async def more(self, clock: Clock) -> Optional[bytes]:
        """The next part of the body; none at its end. Raises ``TimeIsOver``, after which more may be asked for."""
        while not self._parser.pending and not self._parser.complete:
            await self._read(clock)
        return self._parser.take() or None

    def close(self) -> None:
        """Ends the connection; whoever waits for it is told."""
        self._closed = True
        connection, self._socket = self._socket, None
        if connection is not None:
            if self._waiting is not None:
                loop = self._waiting.get_loop()
                loop.remove_reader(connection)
                loop.remove_writer(connection)
            try:
                # Over, although a child of a foreign `fork` has a copy of it.
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            connection.close()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def _connect(self, clock: Clock) -> None:
        address = self._endpoint.address
        if isinstance(address, UnixAddress):
            await self._try_connect(socket.AF_UNIX, address.path, clock)
            return
        loop = asyncio.get_running_loop()
        looking = asyncio.ensure_future(loop.getaddrinfo(address.name, address.port, type=socket.SOCK_STREAM))
        await asyncio.wait([looking], timeout=clock.left())
        if not looking.done():
            looking.cancel()
            raise TimeIsOver
        try:
            found = looking.result()
        except OSError as error:
            raise _answer.not_reached(address, error) from None
        failure: Optional[NodeUnreachable] = None
        for family, _, _, _, place in found:
            try:
                await self._try_connect(family, place, clock)
                return
            except NodeUnreachable as error:
                failure = error
        raise failure or NodeUnreachable(f"no address is known of {address}")

    async def _try_connect(self, family: int, place: object, clock: Clock) -> None:
        while True:
            connection = open_socket(family)
            connection.setblocking(False)
            self._socket = connection
            try:
                result = connection.connect_ex(place)  # type: ignore[arg-type]
                if result == errno.EINPROGRESS:
                    await self._ready(clock, write=True)
                    result = self._open().getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            except (OSError, TypeError, ValueError) as error:
                if isinstance(error, NodeUnreachable):
                    raise
                self._drop()
                as_os = error if isinstance(error, OSError) else OSError(str(error))
                raise _answer.not_reached(self._endpoint.address, as_os) from None
            if result == 0:
                return
            self._drop()
            if result != errno.EAGAIN:
                raise _answer.not_reached(self._endpoint.address, OSError(result, os.strerror(result)))
            await asyncio.sleep(min(_PAUSE, clock.left() or _PAUSE))

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def _send(self, clock: Clock) -> None:
        left = memoryview(self._request.encoded(self._endpoint.address.host, self._endpoint.token))
        self._sent = True
        while left:
            try:
                left = left[self._open().send(left) :]
            except BlockingIOError:
                await self._ready(clock, write=True)
            except NodeUnreachable:
                raise
            except OSError:
                # A node that refuses a request may answer before it has read all of it: the answer says why.
                return

    async def _read(self, clock: Clock) -> None:
        while True:
            try:
                data = self._open().recv(_READ)
                break
            except BlockingIOError:
                await self._ready(clock, write=False)
            except NodeUnreachable:
                raise
            except OSError:
                data = b""
                break
        self._parser.feed(data)
        if not data and not self._parser.complete:
            raise _answer.broken_off(self._endpoint.address, self._request)

    async def _ready(self, clock: Clock, write: bool) -> None:
        """Waits until the socket can be read or written, or the connection was closed."""
        connection, left = self._open(), clock.left()
        if self._waiting is not None:
            raise RuntimeError("two tasks wait on one stream")
        loop = asyncio.get_running_loop()
        waiting = self._waiting = loop.create_future()
        (loop.add_writer if write else loop.add_reader)(connection, _wake, waiting)
        try:
            await asyncio.wait([waiting], timeout=left)
            if not waiting.done():
                raise TimeIsOver
        finally:
            self._waiting = None
            if self._socket is connection and connection.fileno() >= 0:
                (loop.remove_writer if write else loop.remove_reader)(connection)

    def _open(self) -> socket.socket:
        if self._socket is None or self._closed:
            raise _answer.lost(self._endpoint.address)
        return self._socket


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


async def make(endpoint: Endpoint, call: Call[T]) -> T:
    """Makes a call."""
    return await answer(endpoint, Connection(endpoint, call.request), call)


async def answer(endpoint: Endpoint, connection: Connection, call: Call[T]) -> T:
    """Makes a call on a connection that somebody else may close."""
    clock = Clock(None if call.work is None else endpoint.patience + call.work)
    await connection.ask(clock)
    return _answer.read_answer(connection.status, await connection.body(clock), call.read)


class Source:
    """An open stream of server-sent events."""

    def __init__(self, endpoint: Endpoint, connection: Connection, silence: float) -> None:
        self._endpoint = endpoint
        self._connection = connection
        self._silence = silence
        self._parser = SseParser()
        self._heard = time.monotonic()
        self.nothing_more = connection.status == 204
        """The node has nothing more to say on this."""

    @staticmethod
    async def open(endpoint: Endpoint, request: Request, silence: float, work: Optional[float] = 0.0) -> Source:
        """Opens it; once it is open, no later event is missed. ``work``: how long the node may take to begin, beyond the time of every call."""
        connection = Connection(endpoint, request)
        clock = Clock(None if work is None else endpoint.patience + work)
        await connection.ask(clock)
        if connection.status >= 300:
            body = await connection.body(clock)
            raise _answer.problem(connection.status, body)
        return Source(endpoint, connection, silence)

    async def next(self, clock: Clock) -> Optional[Sent]:
        """The next event; none at the stream's proper end. Raises ``WaitTimeout`` when the time is over, after which it goes on."""
        while True:
            sent = self._parser.pop()
            if sent is not None:
                return sent
            try:
                data = await self._connection.more(self._sooner(clock))
            except TimeIsOver:
                if time.monotonic() - self._heard >= self._silence:
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

    def close(self) -> None:
        """Ends it; whoever waits for its next event is told."""
        self._connection.close()

    def _sooner(self, clock: Clock) -> Clock:
        left = clock.left()
        silence = max(self._heard + self._silence - time.monotonic(), 0.001)
        return Clock(silence if left is None else min(left, silence))
