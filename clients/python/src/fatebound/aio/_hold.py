"""Holds: a process as a part of a group. Each stream of holds is read by a task, which ends with the stream's last hold."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from types import TracebackType
from typing import AsyncIterator, Callable, Optional

from .. import _answer, _calls
from .._calls import Call
from .._clock import Clock
from .._endpoint import Endpoint
from .._ends import End, end_of, event_name, failed_meanwhile, given_up, is_clean, reason_of
from .._fork import Owned
from .._http import Request
from .._read import decode
from ..errors import FateboundError, ForeignAnswer, GroupFailed, NodeUnreachable, Problem, WaitTimeout
from ..model import Failure, HeldInfo
from ._once import Once, Registration
from ._transport import Connection, Source, answer, make


class Stream:
    """A stream of holds, and the task that reads it."""

    def __init__(
        self, endpoint: Endpoint, source: Source, invited: Optional[Callable[[Optional[Hold]], None]] = None
    ) -> None:
        self._endpoint = endpoint
        self._source = source
        self._invited = invited
        self._holds: dict[str, Hold] = {}
        self._closing = False
        self._task: Optional[asyncio.Task[None]] = None
        self.first: Optional[Hold] = None
        self.single = False
        """Whether there will be no hold but the one that is there."""
        self.ended: list[Callable[[], None]] = []
        """Called when the task ends."""

    @staticmethod
    async def open(
        endpoint: Endpoint,
        request: Request,
        work: Optional[float],
        invited: Optional[Callable[[Optional[Hold]], None]] = None,
    ) -> Stream:
        """Opens it; ``invited`` is called with each further hold, and with none when there will be no more."""
        profile = (await make(endpoint, _calls.node())).profile
        silence = _calls.SILENCES.get(profile, _calls.SILENCES["wan"])
        source = await Source.open(endpoint, request, silence, work)
        stream = Stream(endpoint, source, invited)
        try:
            first = await source.next(Clock(endpoint.patience))
            if first is None:
                raise _answer.lost(endpoint.address)
            name = event_name(first.data)
            if name == "held":
                stream.first = stream._hold(decode(HeldInfo, first.data))
            elif name != "waiting":
                raise ForeignAnswer(f"a stream of holds that begins with {name}")
        except BaseException:
            source.close()
            raise
        return stream

    def start(self) -> None:
        """Begins to read."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Ends it, and with it uncleanly all of its holds. Returns when the task has ended."""
        self.abort()
        await self._join(None)

    def abort(self) -> None:
        """The same without waiting."""
        self._closing = True
        self._source.close()

    async def finish(self) -> None:
        """After the end of its last hold: waits until the node has ended it, too."""
        if self._holds or self._invited is not None and not self.single:
            return
        await self._join(self._endpoint.patience)
        if self._task is not None and not self._task.done():
            await self.close()

    async def _join(self, timeout: Optional[float]) -> None:
        if self._task is not None and self._task is not asyncio.current_task():
            await asyncio.wait([self._task], timeout=timeout)

    def _hold(self, info: HeldInfo) -> Hold:
        hold = Hold(self, self._endpoint, info)
        self._holds[info.hold] = hold
        return hold

    async def _run(self) -> None:
        error: Exception = _answer.lost(self._endpoint.address)
        try:
            while True:
                sent = await self._source.next(Clock(None))
                if sent is None:
                    break
                self._take(sent.data)
        except FateboundError as caught:
            error = caught
        except asyncio.CancelledError:
            # The loop ends, and with it what its tasks held.
            self._closing = True
            raise
        finally:
            self._source.close()
            for hold in list(self._holds.values()):
                self._end(hold, self._last_end(hold, error))
            if self._invited is not None:
                self._invited(None)
            for callback in self.ended:
                callback()

    def _last_end(self, hold: Hold, error: Exception) -> End:
        return given_up(hold.group) if self._closing else End("failed", Failure.lost(hold.group, error))

    def _take(self, data: object) -> None:
        if isinstance(data, dict) and data.get("event") == "invited" and self._invited is not None:
            self._invited(self._hold(decode(HeldInfo, data)))
            return
        end = end_of(data)
        if end is not None and end[0] in self._holds:
            self._end(self._holds[end[0]], end[1])

    def _end(self, hold: Hold, end: End) -> None:
        self._holds.pop(hold.id, None)
        hold._ended.set(end)


class Hold(Owned):
    """This process' share in a group's fate: while it lasts, the group fails with this process, however that ends.

    As a context manager it is left at the block's end, unless the block ends with an exception: then the group is signalled with that as the reason. When
    the group fails, the block is cancelled, and the ``async with`` raises ``GroupFailed``.
    It lasts until it is left or signalled, the group is over, the node is closed, or the process ends. It does not end with the object.
    """

    def __init__(self, stream: Stream, endpoint: Endpoint, info: HeldInfo) -> None:
        super().__init__()
        self._stream = stream
        self._endpoint = endpoint
        self._ended: Once[End] = Once()
        self._block: Optional[_Block] = None
        self.id = info.hold
        """The hold's own id."""
        self.group = info.group
        """The group's id."""
        self.root = info.root
        """The peer that has created the group."""
        self.peer = info.peer
        """This process' node."""
        self.members = info.members
        """As far as known when the hold began, the root first."""
        self.tag = info.tag
        """Of an invitation: its tag."""
        self.state = info.state
        """Of an invitation: what the group's creator wants its members to know."""

    def __repr__(self) -> str:
        end = self._ended.get()
        return f"<Hold on group {self.group}: {end.how if end else 'held'}>"

    @property
    def alive(self) -> bool:
        """Whether it lasts."""
        return self._end() is None

    @property
    def failure(self) -> Optional[Failure]:
        """Why the group has failed, once it has."""
        end = self._end()
        return end.failure if end else None

    def raise_if_failed(self) -> None:
        """Raises ``GroupFailed`` once the group has failed."""
        failure = self.failure
        if failure is not None:
            raise GroupFailed(failure)

    async def wait_failed(self, timeout: Optional[float] = None) -> Optional[Failure]:
        """Waits until the group fails; returns at once if it has. None: the hold ended without a failure. Raises ``WaitTimeout``."""
        self._check_owner()
        return (await self._ended.wait(timeout, f"the group {self.group} has not failed")).failure

    def on_failure(self, callback: Callable[[Failure], object]) -> Registration:
        """Has this called when the group fails, or at once if it has failed already. A coroutine function is run in a task."""
        self._check_owner()
        return self._ended.on(lambda end: None if end.failure is None else callback(end.failure))

    async def renew(self) -> None:
        """Says that this process is well: to be called within each ``ttl`` of a hold that has one."""
        self._check_owner()
        self.raise_if_failed()
        await make(self._endpoint, _calls.renew_hold(self.id))

    async def leave(self, timeout: Optional[float] = None) -> None:
        """Ends the hold cleanly. With its last hold the node leaves the group; the root waits until every other member has left.

        Raises ``GroupFailed`` if the group fails meanwhile, or has failed. After ``timeout`` seconds raises ``CallTimeout``: the hold may last.
        """
        self._check_owner()
        if self._end() is None:
            call = _calls.leave_hold(self.id, timeout)
            connection = Connection(self._endpoint, call.request)
            # The answer may take as long as others work. A node that is lost meanwhile is known from the hold's own stream.
            with self._ended.on(lambda end: connection.close() if _is_lost(end) else None):
                await self._leave(connection, call)
        await self._stream.finish()
        self.raise_if_failed()

    async def signal(self, reason: str) -> None:
        """Fails the group with this reason, which every member reads."""
        self._check_owner()
        await make(self._endpoint, _calls.signal_hold(self.id, reason))
        await self._settle()

    async def __aenter__(self) -> Hold:
        self._check_owner()
        task = asyncio.current_task()
        assert task is not None
        self._block = _Block(task, self._ended)
        return self

    async def __aexit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._inherited():
            # A forked child that leaves the block it was born in.
            return
        block, self._block = self._block, None
        if block is not None and await block.end(kind) and kind is asyncio.CancelledError:
            await self._stream.finish()
            self.raise_if_failed()
        if is_clean(kind, error):
            try:
                await self.leave()
            except BaseException:
                self._give_up()
                raise
            return
        if self._end() is not None:
            await self._stream.finish()
            return
        try:
            await self.signal(reason_of(error))
        except FateboundError:
            # The end of the connection says the same.
            await self._stream.close()
        except BaseException:
            self._give_up()
            raise

    async def _leave(self, connection: Connection, call: Call[None]) -> None:
        try:
            await answer(self._endpoint, connection, call)
        except NodeUnreachable:
            # It may have ended while it was asked.
            self.raise_if_failed()
            raise
        except Problem as problem:
            failed = failed_meanwhile(self.group, problem)
            if failed is not None:
                await self._settle()
                raise failed from None
            if problem.kind != "hold-unknown":
                raise
        await self._settle()

    def _give_up(self) -> None:
        """Ends the connection if the hold lasts: after its block nobody would end it."""
        if self._end() is None:
            self._stream.abort()

    async def _settle(self) -> None:
        """Waits until the end has come on the stream as well."""
        try:
            await self._ended.wait(self._endpoint.patience, "the hold has not ended")
        except WaitTimeout:
            await self._stream.close()
        await self._stream.finish()

    def _end(self) -> Optional[End]:
        self._check_owner()
        return self._ended.get()


class _Block:
    """A block that is cancelled when the group fails, as ``asyncio.timeout`` does when the time is over."""

    def __init__(self, task: asyncio.Task[object], ended: Once[End]) -> None:
        self._task = task
        self._cancelled = False
        self._before = 0
        if sys.version_info >= (3, 11):
            self._before = task.cancelling()
        self._registration = ended.on(self._failed)

    def _failed(self, end: End) -> None:
        if end.failure is not None:
            self._cancelled = True
            self._task.cancel()

    async def end(self, kind: Optional[type[BaseException]]) -> bool:
        """Whether the block was cancelled for the group's failure, and for nothing else."""
        self._registration.cancel()
        if not self._cancelled:
            return False
        alone = True
        if sys.version_info >= (3, 11):
            alone = self._task.uncancel() <= self._before
        if kind is not asyncio.CancelledError and alone:
            # The block was over before it heard of it: the cancellation is not to come later.
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                pass
        return alone


def _is_lost(end: End) -> bool:
    return end.failure is not None and end.failure.kind in ("node_lost", "given_up")


class Invitations(Owned):
    """Invitations with a tag: each is accepted, and held from the moment of its acceptance.

    As a context manager it is closed at the block's end, which ends all of its holds: they are to be left before.
    """

    def __init__(self, tag: str) -> None:
        super().__init__()
        self.tag = tag
        # The node has at most 64 holds on a stream: no more can wait here.
        self._queue: deque[Optional[Hold]] = deque()
        self._waiters: set[asyncio.Future[None]] = set()
        self._over = False
        self.stream: Stream

    async def open(self, endpoint: Endpoint, request: Request) -> None:
        """Begins to wait."""
        self.stream = await Stream.open(endpoint, request, 0.0, self._invited)

    async def next(self, timeout: Optional[float] = None) -> Optional[Hold]:
        """The next invitation, held. None: there will be no more. Raises ``WaitTimeout``."""
        self._check_owner()
        if self._over:
            return None
        if not self._queue:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait([waiter], timeout=timeout)
            finally:
                self._waiters.discard(waiter)
        if not self._queue:
            raise WaitTimeout(f"no invitation with the tag {self.tag} within {timeout or 0:g} s")
        hold = self._queue.popleft()
        self._over = hold is None
        return hold

    def _invited(self, hold: Optional[Hold]) -> None:
        self._queue.append(hold)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def __aiter__(self) -> AsyncIterator[Hold]:
        while True:
            hold = await self.next()
            if hold is None:
                return
            yield hold

    async def close(self) -> None:
        """Waits no more, and ends all holds that are left, uncleanly."""
        if not self._inherited():
            await self.stream.close()

    async def __aenter__(self) -> Invitations:
        self._check_owner()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def accept_one(invitations: Invitations, timeout: Optional[float]) -> Hold:
    """The one invitation that was asked for."""
    try:
        hold = await invitations.next(timeout)
    except BaseException:
        await invitations.close()
        raise
    if hold is None:
        raise NodeUnreachable("the node has gone away before there was an invitation")
    invitations.stream.single = True
    return hold
