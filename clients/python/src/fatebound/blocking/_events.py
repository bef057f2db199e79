"""Events of a node, followed over its restarts and broken connections."""

from __future__ import annotations

import threading
from typing import Callable, Iterator, Optional

from .. import _answer, _calls
from .._clock import Clock, TimeIsOver
from .._endpoint import Endpoint
from .._fork import Owned
from ..errors import FateboundError, NodeUnreachable, WaitTimeout
from ..model import Event, Failure, Wish
from .._read import decode
from ._once import Once
from ._transport import Source


_PAUSE = 0.2
RECONNECT = 30.0
"""A node that is gone is looked for again for so many seconds."""


class EventStream(Owned):
    """Events as they come. Iterating ends when nothing can follow, or when the stream was closed.

    A connection that breaks is opened again where it was. What is lost for good is announced by an event ``gap``.
    """

    def __init__(self, endpoint: Endpoint, group: Optional[str], after: Optional[str], reconnect: float) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._group = group
        self._after = after
        self._reconnect = reconnect
        self._over = False
        self._closed = threading.Event()
        self._reading = threading.Lock()
        self._source: Optional[Source] = self._open()

    def next(self, timeout: Optional[float] = None) -> Optional[Event]:
        """The next event; none when nothing can follow. Raises ``WaitTimeout``, after which it goes on, and ``NodeUnreachable``."""
        self._check_owner()
        with self._reading:
            try:
                return self._next(Clock(timeout))
            except FateboundError:
                if self._closed.is_set():
                    return None
                raise
            finally:
                if self._closed.is_set() or self._over:
                    self._drop()

    def __iter__(self) -> Iterator[Event]:
        while True:
            event = self.next()
            if event is None:
                return
            yield event

    def close(self) -> None:
        """Ends it, also while another thread waits for its next event."""
        if self._inherited():
            return
        self._closed.set()
        source = self._source
        if source is not None:
            source.abort()
        with self._reading:
            self._drop()

    def __enter__(self) -> EventStream:
        self._check_owner()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> Source:
        return Source(self._endpoint, _calls.events(self._group, self._after), _calls.SILENCE)

    def _drop(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None

    def _next(self, clock: Clock) -> Optional[Event]:
        while not self._over and not self._closed.is_set():
            if self._source is None and not self._again(clock):
                # It cannot be known what has happened meanwhile.
                return Event("gap")
            if self._source is None or self._source.nothing_more:
                break
            try:
                sent = self._source.next(clock)
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

    def _again(self, clock: Clock) -> bool:
        """Looks for the node again; whether the events go on where they were."""
        limit = Clock(self._reconnect)
        while not self._closed.is_set():
            try:
                self._source = self._open()
                return self._after is not None
            except NodeUnreachable:
                try:
                    pause = min(left for left in (_PAUSE, limit.left(), _left(clock)) if left is not None)
                except TimeIsOver:
                    raise _answer.lost(self._endpoint.address) from None
                self._closed.wait(pause)
        return True


def _left(clock: Clock) -> Optional[float]:
    try:
        return clock.left()
    except TimeIsOver:
        raise WaitTimeout("nothing has come in time") from None


def wait_failed(stream: EventStream, group: str, timeout: Optional[float]) -> Optional[Failure]:
    """Waits for a group's end on its stream; why it failed, or none if it ended otherwise."""
    clock = Clock(timeout)
    with stream:
        while True:
            try:
                event = stream.next(clock.left())
            except TimeIsOver:
                raise WaitTimeout(f"the group {group} has not failed in time") from None
            if event is None or event.is_end:
                failed = event is not None and event.event == "failed"
                return Failure.of(group, event.reason, event.message) if event and failed else None


class Watch:
    """A thread that waits for a group's failure."""

    def __init__(self, stream: EventStream, group: str) -> None:
        self.ended: Once[tuple[Optional[Failure]]] = Once()
        self.over: Callable[[], None] = lambda: None
        self._stream = stream
        self._group = group
        self._thread = threading.Thread(target=self._run, name="fatebound-watch", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def close(self) -> None:
        """Ends it without a word."""
        self._stream.close()
        if threading.current_thread() is not self._thread and self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        failure: Optional[Failure]
        try:
            failure = wait_failed(self._stream, self._group, None)
        except FateboundError as error:
            failure = Failure.lost(self._group, error)
        self.ended.set((failure,))
        self.over()


class Wishes(Owned):
    """Peers that want to come into groups of this node: while somebody follows this, they are asked about."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._source = Source(endpoint, _calls.admissions(), _calls.SILENCE)

    def next(self, timeout: Optional[float] = None) -> Optional[Wish]:
        """The next one; none when the node stops. Raises ``WaitTimeout`` and ``NodeUnreachable``."""
        self._check_owner()
        sent = self._source.next(Clock(timeout))
        return None if sent is None else decode(Wish, sent.data)

    def __iter__(self) -> Iterator[Wish]:
        while True:
            wish = self.next()
            if wish is None:
                return
            yield wish

    def close(self) -> None:
        """Ends it: nobody is asked about any more."""
        if not self._inherited():
            self._source.close()

    def __enter__(self) -> Wishes:
        self._check_owner()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
