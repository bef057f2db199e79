"""A node, and its groups."""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import Any, Callable, Iterable, Mapping, Optional, Protocol, TypeVar, Union

from .. import _calls, _endpoint, model
from .. import process_group as pg
from .._calls import Admit, Call
from .._clock import Clock, TimeIsOver
from .._fork import Owned
from ..errors import BarrierMissed, CallTimeout, NodeUnreachable, WaitTimeout
from ._events import RECONNECT, EventStream, Watch, Wishes, wait_failed
from ._hold import Hold, Invitations, Stream, accept_one
from ._once import Registration
from ._provider import Lock, Provider, barrier
from ._transport import make

T = TypeVar("T")
Bytes = Union[str, bytes]


class _Open(Protocol):
    def close(self) -> None: ...


O = TypeVar("O", bound=_Open)


class Node(Owned):
    """A running node of this machine, through its API.

    ``api`` is ``unix:PATH`` or ``http://HOST:PORT``; without it ``FATEBOUND_API`` says where, and without that the node is where the program puts it by
    default. Over TCP a token is needed: ``token``, or the file ``token_file``, or that of ``FATEBOUND_API_TOKEN_FILE``. A call fails when the node has not
    answered within ``timeout`` seconds (``FATEBOUND_API_TIMEOUT``, 10), beyond what it needs for its work.

    Nothing is connected until something is asked, and every call has its own connection: an object may be used by several threads. As a context manager it
    is closed at the block's end. A forked child makes one of its own.
    """

    def __init__(
        self,
        api: Optional[str] = None,
        *,
        token: Optional[str] = None,
        token_file: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> None:
        super().__init__()
        self._endpoint = _endpoint.find(api, token, token_file, timeout, os.environ)
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()
        self._kept: set[Any] = set()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Node at {self._endpoint.address}>"

    def close(self) -> None:
        """Ends everything that was opened through this object: event streams, and uncleanly all holds that were not left."""
        if self._inherited():
            return
        with self._lock:
            opened = [*self._kept, *self._open]
            self._kept.clear()
        for one in opened:
            one.close()

    def __enter__(self) -> Node:
        self._check_owner()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The node itself.

    def info(self) -> model.NodeInfo:
        """The node at a glance."""
        return self._make(_calls.node())

    def peers(self) -> tuple[model.Peer, ...]:
        """Its neighbours."""
        return self._make(_calls.peers())

    def wait_joined(self, timeout: float = 60.0) -> model.NodeInfo:
        """Waits until the node serves its API and is part of its overlay; raises ``NodeUnreachable`` if it is not in time."""
        clock = Clock(timeout)
        while True:
            problem: Exception = NodeUnreachable(f"the node at {self._endpoint.address} has not joined its overlay in time")
            try:
                info = self.info()
                if info.joined:
                    return info
            except NodeUnreachable as error:
                problem = error
            try:
                time.sleep(min(0.1, clock.left() or 0.1))
            except TimeIsOver:
                raise problem from None

    def lookup(self, name: str, timeout: Optional[float] = _calls.WORK) -> model.NameInfo:
        """What the directory knows under a name; raises ``NameNotKnown``."""
        return self._make(_calls.lookup(name, timeout))

    def publish(self, name: str, text: str, timeout: Optional[float] = _calls.WORK) -> None:
        """Publishes a text under a name, for as long as the node runs; raises ``NameTaken``."""
        self._make(_calls.publish(name, text, timeout))

    # Groups.

    def create(
        self,
        members: Iterable[str],
        *,
        tag: Optional[str] = None,
        state: Bytes = b"",
        admit: Optional[Admit] = None,
        timeout: Optional[float] = None,
    ) -> Group:
        """Creates a group of this node and others: PeerIds, or multiaddresses that end in one. Raises ``CreationFailed`` if not all accept.

        ``tag``: only members where somebody waits for it accept. ``state``: what all members are to know. ``admit``: who may come in later, ``"ask"``
        (the default), ``"open"``, ``"members"``, or a list of peers. ``timeout``: how long the members have, in seconds; by default the node's profile says.
        """
        created = self._make(_calls.create(_calls.creation(members, tag, state, admit, timeout), timeout))
        return Group(self, created.group, created.members)

    def create_and_hold(
        self,
        members: Iterable[str],
        *,
        tag: Optional[str] = None,
        state: Bytes = b"",
        admit: Optional[Admit] = None,
        timeout: Optional[float] = None,
        ttl: Optional[float] = None,
        on_failure: Optional[Callable[[model.Failure], object]] = None,
    ) -> Hold:
        """Creates a group and holds it from its first moment: ``with node.create_and_hold(peers) as hold:``.

        ``ttl``: a hold that is not renewed within so many seconds has ended, so that a process that hangs fails its group.
        """
        body = _calls.creation(members, tag, state, admit, timeout)
        return self._held(_calls.create_and_hold(body, ttl), timeout, on_failure)

    def group(self, group: str) -> Group:
        """The group of this id, or of one that begins like this. Nothing is asked yet."""
        self._check_owner()
        return Group(self, group)

    def groups(self, *, all: bool = False, limit: Optional[int] = None) -> model.Groups:
        """The node's groups; with ``all`` also those that were over lately."""
        return self._make(_calls.groups(all, limit))

    def invitations(self, tag: str, *, count: Optional[int] = None, ttl: Optional[float] = None) -> Invitations:
        """Waits for invitations with this tag: each is accepted, and held from that moment. At most ``count``; without it, 64 at a time."""
        self._check_owner()
        invitations = Invitations(self._endpoint, _calls.invitations(tag, count, ttl), tag)
        self._run_stream(invitations.stream)
        return invitations

    def accept(
        self,
        tag: str,
        timeout: Optional[float] = None,
        *,
        ttl: Optional[float] = None,
        on_failure: Optional[Callable[[model.Failure], object]] = None,
    ) -> Hold:
        """Waits for one invitation with this tag and holds it: ``with node.accept("train", timeout=60) as hold:``. Raises ``WaitTimeout``."""
        hold = accept_one(self.invitations(tag, count=1, ttl=ttl), timeout)
        if on_failure is not None:
            hold.on_failure(on_failure)
        return hold

    def events(self, *, after: Optional[str] = None, reconnect: float = RECONNECT) -> EventStream:
        """What happens at this node from now on, or after the event of this id. A node that is gone is looked for again for ``reconnect`` seconds."""
        self._check_owner()
        return self._opened(EventStream(self._endpoint, None, after, reconnect))

    def admissions(self) -> Wishes:
        """Peers that want to come into groups of this node: answer with ``group.admit`` or ``group.refuse``."""
        self._check_owner()
        return self._opened(Wishes(self._endpoint))

    # Process groups.

    def process_groups(self) -> tuple[pg.ProcessGroupInfo, ...]:
        """Those in which this node is, or into which it is on its way."""
        return self._make(_calls.process_groups())

    def process_group(self, name: str) -> pg.ProcessGroupInfo:
        """One of them; its ``why()`` says how it stands."""
        return self._make(_calls.process_group_info(name))

    def state(self, name: str) -> pg.State:
        """The state value of a process group."""
        return self._make(_calls.state(name))

    def set_state(
        self, name: str, value: Bytes, *, expected: Optional[int] = None, timeout: Optional[float] = _calls.WORK
    ) -> pg.Resolution:
        """Replaces the state value of a process group in which a process of this node is. With ``expected`` only if it has that version."""
        return self._make(_calls.set_state(name, None, value, expected, timeout))

    def join_process_group(
        self,
        name: str,
        *,
        instance: Optional[str] = None,
        info: Bytes = b"",
        attributes: Optional[Mapping[str, Any]] = None,
        timeout: Optional[float] = _calls.WORK,
    ) -> Provider:
        """Brings this process into a process group, which is founded if there is none: ``with node.join_process_group("cache") as provider:``.

        ``instance``: what the process is called. ``info``: what the others are to know of it. Raises ``NotJoined``.
        """
        self._check_owner()
        provider = Provider(self._endpoint, name, instance, info, attributes, timeout)
        with self._lock:
            self._kept.add(provider)
        provider.closed = lambda: self._forget(provider)
        return provider

    def barrier(
        self, name: str, count: int, *, instance: Optional[str] = None, timeout: Optional[float] = None
    ) -> tuple[str, ...]:
        """Waits until ``count`` processes are at the barrier of this name; who was there. Raises ``BarrierMissed``. Meets ``fatebound pg barrier``, too."""
        clock = Clock(timeout)
        info = _calls.barrier_sign(count)
        try:
            provider = self.join_process_group(name, instance=instance, info=info, timeout=timeout)
        except (CallTimeout, WaitTimeout) as error:
            if timeout is None:
                raise
            raise BarrierMissed(f"not at the barrier {name} in time: {error}", ()) from None
        return barrier(provider, name, count, clock)

    def lock(self, name: str, *, instance: Optional[str] = None, timeout: Optional[float] = None) -> Lock:
        """Waits until this process has the lock of this name: ``with node.lock("backup") as lock:``. Raises ``WaitTimeout``."""
        clock = Clock(timeout)
        try:
            provider = self.join_process_group(name, instance=instance, timeout=timeout)
        except CallTimeout as error:
            if timeout is None:
                raise
            raise WaitTimeout(f"not at the lock {name} in time: {error}") from None
        return Lock(provider, clock)

    # Inside.

    def _make(self, call: Call[T]) -> T:
        self._check_owner()
        return make(self._endpoint, call)

    def _held(
        self, request: Any, timeout: Optional[float], on_failure: Optional[Callable[[model.Failure], object]]
    ) -> Hold:
        self._check_owner()
        stream = Stream(self._endpoint, request, timeout if timeout is not None else _calls.WORK)
        hold = stream.first
        self._run_stream(stream)
        assert hold is not None
        if on_failure is not None:
            hold.on_failure(on_failure)
        return hold

    def _run_stream(self, stream: Stream) -> None:
        with self._lock:
            self._kept.add(stream)
        stream.ended.append(lambda: self._forget(stream))
        stream.start()

    def _forget(self, one: Any) -> None:
        with self._lock:
            self._kept.discard(one)

    def _opened(self, one: O) -> O:
        with self._lock:
            self._open.add(one)
        return one


class Group:
    """A group, through a node. Nothing is kept open by this object."""

    def __init__(self, node: Node, group: str, members: tuple[str, ...] = ()) -> None:
        self._node = node
        self.id = group
        self.members = members
        """As they were at its creation, the root first, if it was created here; else none: ``group.show().members``."""

    def __repr__(self) -> str:
        return f"<Group {self.id}>"

    def show(self) -> model.GroupInfo:
        """What the node knows of it."""
        return self._node._make(_calls.show(self.id))

    def failure(self) -> Optional[model.Failure]:
        """Why it has failed, if it has."""
        event = self.show().failure
        return None if event is None else model.Failure.of(self.id, event.reason, event.message)

    def signal(self, reason: str = "") -> bool:
        """Fails it, with a reason that every member reads; false if it had failed before."""
        return not self._node._make(_calls.signal(self.id, reason)).already_failed

    def check(self) -> model.Checked:
        """Asks every member whether it lives and knows the group."""
        return self._node._make(_calls.check(self.id))

    def join(self, timeout: Optional[float] = None) -> model.Joined:
        """Comes in as a member, for as long as the node runs. A process that wants to share the group's fate holds it: :meth:`hold`."""
        return self._node._make(_calls.join(self.id, False, timeout))

    def observe(self, timeout: Optional[float] = None) -> model.Joined:
        """Comes in as an observer: is told of its failure, and is no cause of one."""
        return self._node._make(_calls.join(self.id, True, timeout))

    def leave(self) -> None:
        """Leaves it; at its root, closes it."""
        self._node._make(_calls.leave(self.id))

    def close(self) -> None:
        """At its root: closes it, which is no failure."""
        self._node._make(_calls.close(self.id))

    def admit(self, peer: str) -> None:
        """Lets in a peer that asked."""
        self._node._make(_calls.admit(self.id, peer, None))

    def refuse(self, peer: str, reason: str = "") -> None:
        """Keeps out a peer that asked."""
        self._node._make(_calls.admit(self.id, peer, reason))

    def hold(
        self,
        *,
        timeout: Optional[float] = None,
        ttl: Optional[float] = None,
        on_failure: Optional[Callable[[model.Failure], object]] = None,
    ) -> Hold:
        """Makes this process a part of the group, which the node joins if it is not in it: ``with group.hold() as hold:``.

        ``timeout``: how long the root has to let the node in. ``ttl``: a hold that is not renewed within so many seconds has ended.
        """
        return self._node._held(_calls.join_and_hold(self.id, timeout, ttl), timeout, on_failure)

    def events(self, *, after: Optional[str] = None, reconnect: float = RECONNECT) -> EventStream:
        """Its events from now on; the last one is its end. One that is over has that one alone."""
        self._node._check_owner()
        return self._node._opened(EventStream(self._node._endpoint, self.id, after, reconnect))

    def wait_failed(self, timeout: Optional[float] = None) -> Optional[model.Failure]:
        """Waits until it fails; returns at once if it has. None: it was closed or left. Raises ``WaitTimeout`` and ``NodeUnreachable``."""
        return wait_failed(self.events(), self.id, timeout)

    def on_failure(self, callback: Callable[[model.Failure], object]) -> Registration:
        """Has this called when it fails, in a thread of its own, at once if it has. A node that is lost, and not found again in time, counts as a failure."""
        node = self._node
        node._check_owner()
        watch = Watch(EventStream(node._endpoint, self.id, None, RECONNECT), self.id)

        def ended(end: tuple[Optional[model.Failure]]) -> None:
            if end[0] is not None:
                callback(end[0])

        watch.ended.on(ended)
        watch.over = lambda: node._forget(watch)
        with node._lock:
            node._kept.add(watch)
        watch.start()
        return Registration(watch.close)
