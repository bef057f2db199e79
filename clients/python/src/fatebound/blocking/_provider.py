"""A process in a process group."""

from __future__ import annotations

import dataclasses
import threading
import time
from types import TracebackType
from typing import Any, Callable, Iterator, Mapping, Optional, Union

from .. import _answer, _calls
from .._clock import Clock, TimeIsOver
from .._endpoint import Endpoint
from .._ends import is_clean, reason_of
from .._fork import Owned
from .._meeting import ASKED, LOCK_SILENCE, Meeting, turn_of
from ..errors import (
    BarrierMissed,
    FateboundError,
    ForeignAnswer,
    LockLost,
    NodeUnreachable,
    ProcessGroupEnded,
    VersionMismatch,
    WaitTimeout,
)
from ..process_group import (
    Blocked,
    Opened,
    ProcessGroupInfo,
    Proposal,
    ProviderEvent,
    ProviderJoined,
    Resolution,
    State,
    Verdict,
    end_of,
    read_event,
)
from ._once import Once, Registration
from ._transport import Source, make

Bytes = Union[str, bytes]


class Provider(Owned):
    """This process in a process group: events come out in the order that all see, orders go in.

    As a context manager it leaves at the block's end; if the block ends with an exception it goes at once, with that as its last words. When the
    connection ends, however it does, the process is gone from the group. Its events have to be read: the node keeps a bounded number of them.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        name: str,
        instance: Optional[str],
        info: Bytes,
        attributes: Optional[Mapping[str, Any]],
        timeout: Optional[float],
    ) -> None:
        super().__init__()
        self.name = name
        """The process group."""
        self.end: Optional[ProcessGroupEnded] = None
        """How this process has gone out of the group, once that was read."""
        self._endpoint = endpoint
        self._source = Source(endpoint, _calls.attach(name, instance, info, attributes), _calls.SILENCE, timeout)
        self.closed: Callable[[], None] = lambda: None
        try:
            first = self._source.next(Clock(endpoint.patience))
            joined = None if first is None else read_event(first.data)
            if not isinstance(joined, ProviderJoined):
                raise ForeignAnswer("an attachment that does not begin with joined")
        except BaseException:
            self._source.close()
            raise
        self.joined = joined
        """The first event."""
        self.provider = joined.provider
        """Its name in the group."""

    def next(self, timeout: Optional[float] = None) -> Optional[ProviderEvent]:
        """The next event; none after the last one. Raises ``WaitTimeout``, after which it goes on, and ``NodeUnreachable``."""
        self._check_owner()
        sent = self._source.next(Clock(timeout))
        if sent is None:
            self.close()
            if self.end is None:
                raise _answer.lost(self._endpoint.address)
            return None
        event = read_event(sent.data)
        end = end_of(event)
        if end is not None and self.end is None:
            self.end = ProcessGroupEnded(f"out of the group {self.name}: {end[1]}", end[0])
        return event

    def __iter__(self) -> Iterator[ProviderEvent]:
        while True:
            event = self.next()
            if event is None:
                return
            yield event

    def group(self) -> ProcessGroupInfo:
        """The group as this node sees it now."""
        self._check_owner()
        return make(self._endpoint, _calls.process_group_info(self.name))

    def send(self, body: Bytes, timeout: Optional[float] = _calls.WORK) -> None:
        """Sends a message of at most 60 KiB to all providers, this one included."""
        self._check_owner()
        make(self._endpoint, _calls.send(self.name, self.provider, body, timeout))

    def propose(self, proposal: Proposal, timeout: Optional[float] = _calls.WORK) -> Resolution:
        """Proposes something and waits for its outcome. Where it is voted upon, this process votes too: its events are to be read meanwhile."""
        self._check_owner()
        return make(self._endpoint, _calls.propose(self.name, self.provider, proposal, timeout))

    def vote(
        self,
        opened: Opened,
        verdict: Verdict,
        message: Bytes = b"",
        state: Optional[Bytes] = None,
        default: Optional[Verdict] = None,
    ) -> None:
        """Votes in an open phase."""
        self._check_owner()
        make(self._endpoint, _calls.vote(self.name, self.provider, opened, verdict, message, state, default))

    def state(self) -> State:
        """The group's state value."""
        self._check_owner()
        return make(self._endpoint, _calls.state(self.name))

    def set_state(
        self, value: Bytes, expected: Optional[int] = None, timeout: Optional[float] = _calls.WORK
    ) -> Resolution:
        """Replaces the state value, if it has the ``expected`` version, where one is given; else raises ``VersionMismatch``."""
        self._check_owner()
        return make(self._endpoint, _calls.set_state(self.name, self.provider, value, expected, timeout))

    def deactivated(self, protocol: int, status: Optional[int] = None) -> None:
        """Tells how it went to end this process, after an event ``Deactivate``."""
        self._check_owner()
        make(self._endpoint, _calls.deactivated(self.name, self.provider, protocol, status))

    def leave(self, goodbye: Optional[str] = None, timeout: Optional[float] = _calls.WORK) -> Resolution:
        """Leaves the group. With ``goodbye`` at once, with these last words; else the group may vote on it."""
        self._check_owner()
        resolution = make(self._endpoint, _calls.leave_process_group(self.name, self.provider, goodbye, timeout))
        return resolution

    def close(self) -> None:
        """Ends the connection: if this process is still in the group, it is gone from it."""
        if not self._inherited():
            self._source.close()
            self.closed()

    def abort(self) -> None:
        """Ends the connection from another thread."""
        if not self._inherited():
            self._source.abort()

    def __enter__(self) -> Provider:
        self._check_owner()
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._inherited():
            return
        clean = is_clean(kind, error)
        try:
            if self.end is None:
                self.leave(None if clean else reason_of(error))
        except FateboundError:
            if clean:
                raise
        finally:
            self.close()


def barrier(provider: Provider, name: str, count: int, clock: Clock) -> tuple[str, ...]:
    """Waits at a barrier; who was there."""
    meeting = Meeting(name, provider.provider, count)
    with _Leaving(provider, meeting):
        state = provider.group().state
        if state is not None:
            meeting.known(state)
        try:
            while meeting.here is None:
                turn = meeting.turn()
                if turn is not None:
                    try:
                        provider.propose(turn, clock.left())
                    except VersionMismatch:
                        pass
                event = provider.next(clock.left())
                if event is None:
                    raise provider.end or _answer.lost(provider._endpoint.address)
                meeting.follow(event)
        except (TimeIsOver, WaitTimeout):
            here = tuple(waiting.name for waiting in meeting.waiting())
            raise BarrierMissed(meeting.missed(), here) from None
    return meeting.here


class _Leaving:
    """Leaves without waiting for a vote, and without a word where that cannot succeed."""

    def __init__(self, provider: Provider, meeting: Meeting) -> None:
        self._provider = provider
        self._meeting = meeting

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        try:
            if self._provider.end is None and self._meeting.blocked is None:
                self._provider.leave("done", timeout=0.0)
        except FateboundError:
            pass
        finally:
            self._provider.close()


class Lock(Owned):
    """A lock that this process has, until it releases it, or loses it with its place in the group.

    The holder is the oldest process in a process group. A thread asks the node every second, and notices within some seconds when the others may go on
    without this process. What it may still do until then, :attr:`epoch` fences: it grows with each holder.
    """

    def __init__(self, provider: Provider, clock: Clock) -> None:
        super().__init__()
        self.name = provider.name
        """The process group."""
        self._provider = provider
        self._lost: Once[LockLost] = Once()
        self._released = False
        try:
            self.epoch = self._turn(clock)
            """The number since when this process has the lock: larger than that of every holder before."""
        except BaseException:
            try:
                _abandon(provider)
            finally:
                provider.close()
            raise
        self._thread = threading.Thread(target=self._run, name="fatebound-lock", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> Optional[str]:
        """Why the lock is lost, once it is."""
        self._check_owner()
        lost = self._lost.get()
        return None if lost is None else str(lost)

    def raise_if_lost(self) -> None:
        """Raises ``LockLost`` once it is."""
        self._check_owner()
        lost = self._lost.get()
        if lost is not None:
            raise LockLost(str(lost))

    def on_lost(self, callback: Callable[[str], object]) -> Registration:
        """Has this called, in the lock's thread, when it is lost; or at once if it is."""
        self._check_owner()
        return self._lost.on(lambda lost: callback(str(lost)))

    def release(self) -> None:
        """Gives the lock to the next process. Does nothing if it was released or is lost."""
        self._check_owner()
        self._released = True
        if self._lost.get() is None:
            _abandon(self._provider)
        self._join()

    def __enter__(self) -> Lock:
        self._check_owner()
        return self

    def __exit__(self, kind: Optional[type[BaseException]], *_: object) -> None:
        if self._inherited():
            return
        self.release()
        if kind is None:
            self.raise_if_lost()

    def _join(self) -> None:
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _turn(self, clock: Clock) -> int:
        while True:
            try:
                event = self._provider.next(clock.left())
            except (TimeIsOver, WaitTimeout):
                raise WaitTimeout(f"somebody else has the lock {self.name}") from None
            if event is None:
                raise self._provider.end or NodeUnreachable("the node has gone away")
            epoch = turn_of(event, self._provider.provider)
            if epoch is not None:
                return epoch

    def _run(self) -> None:
        words = "the lock was given up"
        try:
            words = self._hold()
        except FateboundError as error:
            words = str(error)
        finally:
            if not self._released:
                self._lost.set(LockLost(words))
            self._provider.close()

    def _hold(self) -> str:
        """Until it is lost: why."""
        provider = self._provider
        asking = dataclasses.replace(provider._endpoint, patience=LOCK_SILENCE)
        asked = time.monotonic()
        while True:
            if time.monotonic() - asked >= ASKED:
                try:
                    make(asking, _calls.process_group_info(self.name))
                except NodeUnreachable:
                    raise
                except FateboundError:
                    # Whatever it says, it lives; what concerns this process comes as an event.
                    pass
                asked = time.monotonic()
            try:
                event = provider.next(ASKED)
            except WaitTimeout:
                continue
            if isinstance(event, Blocked):
                return str(event)
            if event is None or provider.end is not None:
                return str(provider.end)


def _abandon(provider: Provider) -> None:
    """Leaves at once, and ends the connection whatever comes of it."""
    try:
        provider.leave("done", timeout=0.0)
    except FateboundError:
        pass
    finally:
        provider.abort()
