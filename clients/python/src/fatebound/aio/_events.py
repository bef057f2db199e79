"""Events of a node, followed over its restarts and broken connections."""

from __future__ import annotations

import asyncio
from typing import AsyncIterator, Callable, Optional

from .. import _answer, _calls
from .._clock import Clock, TimeIsOver
from .._endpoint import Endpoint
from .._fork import Owned
from .._read import decode
from ..errors import FateboundError, NodeUnreachable, WaitTimeout
from ..model import Event, Failure, Wish
from ._once import Once
from ._transport import Source

_PAUSE = 0.2
RECONNECT = 30.0
"""A node that is gone is looked for again for so many seconds."""


class EventStream(Owned):
    """Events as they come: ``async for event in …``. It ends when nothing can follow, or when it was closed.

    It is opened when its first event is asked for, or by ``async with``: then nothing that happens in the block is missed. A connection that breaks is
    opened again where it was. What is lost for good is announced by an event ``gap``.
    """

    def __init__(self, endpoint: Endpoint, group: Optional[str], after: Optional[str], reconnect: float) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._group = group
        self._after = after
        self._reconnect = reconnect
        self._opened = False
        self._over = False
        self._closed = False
        self._source: Optional[Source] = None

    async def next(self, timeout: Optional[float] = None) -> Optional[Event]:
        """The next event; none when nothing can follow. Raises ``WaitTimeout``, after which it goes on, and ``NodeUnreachable``."""
        self._check_owner()
        try:
            if not self._opened:
                await self._open()
            return await self._next(Clock(timeout))
        except FateboundError:
            if self._closed:
                return None
            raise
        finally:
            if self._closed or self._over:
                self._drop()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            event = await self.next()
            if event is None:
                return
            yield event

    def close(self) -> None:
        """Ends it, also while another task waits for its next event."""
        if not self._inherited():
            self._closed = True
            self._drop()

    async def __aenter__(self) -> EventStream:
        self._check_owner()
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def _open(self) -> None:
        self._source = await Source.open(self._endpoint, _calls.events(self._group, self._after), _calls.SILENCE)
        self._opened = True

    def _drop(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.close()

    async def _next(self, clock: Clock) -> Optional[Event]:
        while not self._over and not self._closed:
            if self._source is None and not await self._again(clock):
                # It cannot be known what has happened meanwhile.
                return Event("gap")
            if self._source is None or self._source.nothing_more:
                break
            try:
                sent = await self._source.next(clock)
            except WaitTimeout:
                raise
            except NodeUnreachable:
                sent = None
            if sent is None:
                self._drop()
                continue
            event = _calls.read_event(sent.id, sent.data)
            self._after = event.id or self._after
            self._over = self._group is not None and event.is_end
            return event
        self._over = True
        return None

    async def _again(self, clock: Clock) -> bool:
        """Looks for the node again; whether the events go on where they were."""
        limit = Clock(self._reconnect)
        while not self._closed:
            try:
                await self._open()
                return self._after is not None
            except NodeUnreachable:
                try:
                    pause = min(left for left in (_PAUSE, limit.left(), _left(clock)) if left is not None)
                except TimeIsOver:
                    raise _answer.lost(self._endpoint.address) from None
                await asyncio.sleep(pause)
        return True


def _left(clock: Clock) -> Optional[float]:
    try:
        return clock.left()
    except TimeIsOver:
        raise WaitTimeout("nothing has come in time") from None


async def wait_failed(stream: EventStream, group: str, timeout: Optional[float]) -> Optional[Failure]:
    """Waits for a group's end on its stream; why it failed, or none if it ended otherwise."""
    clock = Clock(timeout)
    async with stream:
        while True:
            try:
                event = await stream.next(clock.left())
            except (TimeIsOver, WaitTimeout):
                raise WaitTimeout(f"the group {group} has not failed in time") from None
            if event is None or event.is_end:
                failed = event is not None and event.event == "failed"
                return Failure.of(group, event.reason, event.message) if event and failed else None


class Watch:
    """A task that waits for a group's failure."""

    def __init__(self, stream: EventStream, group: str, over: Callable[[Watch], None]) -> None:
        self.ended: Once[tuple[Optional[Failure]]] = Once()
        self._stream = stream
        self._group = group
        self._over = over
        self._task = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        """Ends it without a word."""
        self._stream.close()

    async def wait(self) -> None:
        """Waits until its task has ended."""
        if self._task is not asyncio.current_task():
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        failure: Optional[Failure]
        try:
            failure = await wait_failed(self._stream, self._group, None)
        except FateboundError as error:
            failure = None if self._stream._closed else Failure.lost(self._group, error)
        self.ended.set((failure,))
        self._over(self)


class Wishes(Owned):
    """Peers that want to come into groups of this node: while somebody follows this, they are asked about. Opened as ``EventStream`` is."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._source: Optional[Source] = None

    async def next(self, timeout: Optional[float] = None) -> Optional[Wish]:
        """The next one; none when the node stops. Raises ``WaitTimeout`` and ``NodeUnreachable``."""
        self._check_owner()
        source = await self._open()
        sent = await source.next(Clock(timeout))
        return None if sent is None else decode(Wish, sent.data)

    async def __aiter__(self) -> AsyncIterator[Wish]:
        while True:
            wish = await self.next()
            if wish is None:
                return
            yield wish

    def close(self) -> None:
        """Ends it: nobody is asked about any more."""
        if not self._inherited() and self._source is not None:
            self._source.close()

    async def __aenter__(self) -> Wishes:
        self._check_owner()
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def _open(self) -> Source:
        if self._source is None:
            self._source = await Source.open(self._endpoint, _calls.admissions(), _calls.SILENCE)
        return self._source
