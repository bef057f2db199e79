"""A node, and its groups."""

from __future__ import annotations

import asyncio
import os
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
from ._once import Pending, Registration
from ._provider import Lock, Provider, barrier
from ._transport import make

T = TypeVar("T")
Bytes = Union[str, bytes]


class _Open(Protocol):
    def close(self) -> object: ...


O = TypeVar("O", bound=_Open)


class Node(Owned):
    """A running node of this machine, through its API.

    ``api`` is ``unix:PATH`` or ``http://HOST:PORT``; without it ``FATEBOUND_API`` says where, and without that the node is where the program puts it by
    default. Over TCP a token is needed: ``token``, or the file ``token_file``, or that of ``FATEBOUND_API_TOKEN_FILE``. A call fails when the node has not
    answered within ``timeout`` seconds (``FATEBOUND_API_TIMEOUT``, 10), beyond what it needs for its work.

    Nothing is connected until something is asked, and every call has its own connection. As a context manager it
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

    def __repr__(self) -> str:
        return f"<Node at {self._endpoint.address}>"

    async def close(self) -> None:
        """Ends everything that was opened through this object: event streams, and uncleanly all holds that were not left."""
        if self._inherited():
            return
        opened = [*self._kept, *self._open]
        self._kept.clear()
        for one in opened:
            closing = one.close()
            if closing is not None:
                await closing
        for watch in [one for one in opened if isinstance(one, Watch)]:
            await watch.wait()

    async def __aenter__(self) -> Node:
        self._check_owner()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # The node itself.

    async def info(self) -> model.NodeInfo:
        """The node at a glance."""
        return await self._make(_calls.node())

    async def peers(self) -> tuple[model.Peer, ...]:
        """Its neighbours."""
        return await self._make(_calls.peers())

    async def wait_joined(self, timeout: float = 60.0) -> model.NodeInfo:
        """Waits until the node serves its API and is part of its overlay; raises ``NodeUnreachable`` if it is not in time."""
        clock = Clock(timeout)
        while True:
            problem: Exception = NodeUnreachable(f"the node at {self._endpoint.address} has not joined its overlay in time")
            try:
                info = await self.info()
                if info.joined:
                    return info
            except NodeUnreachable as error:
                problem = error
            try:
                await asyncio.sleep(min(0.1, clock.left() or 0.1))
            except TimeIsOver:
                raise problem from None

    async def lookup(self, name: str, timeout: Optional[float] = _calls.WORK) -> model.NameInfo:
        """What the directory knows under a name; raises ``NameNotKnown``."""
        return await self._make(_calls.lookup(name, timeout))

    async def publish(self, name: str, text: str, timeout: Optional[float] = _calls.WORK) -> None:
        """Publishes a text under a name, for as long as the node runs; raises ``NameTaken``."""
        await self._make(_calls.publish(name, text, timeout))

    # Groups.

    async def create(
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
        created = await self._make(_calls.create(_calls.creation(members, tag, state, admit, timeout), timeout))
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
    ) -> Pending[Hold]:
        """Creates a group and holds it from its first moment: ``async with node.create_and_hold(peers) as hold:``.

        ``ttl``: a hold that is not renewed within so many seconds has ended, so that a process that hangs fails its group.
        """
        body = _calls.creation(members, tag, state, admit, timeout)
        return Pending(lambda: self._held(_calls.create_and_hold(body, ttl), timeout, on_failure))

    def group(self, group: str) -> Group:
        """The group of this id, or of one that begins like this. Nothing is asked yet."""
        self._check_owner()
        return Group(self, group)

    async def groups(self, *, all: bool = False, limit: Optional[int] = None) -> model.Groups:
        """The node's groups; with ``all`` also those that were over lately."""
        return await self._make(_calls.groups(all, limit))

    def invitations(self, tag: str, *, count: Optional[int] = None, ttl: Optional[float] = None) -> Pending[Invitations]:
        """Waits for invitations with this tag: each is accepted, and held from that moment. At most ``count``; without it, 64 at a time."""
        return Pending(lambda: self._invitations(tag, count, ttl))

    def accept(
        self,
        tag: str,
        timeout: Optional[float] = None,
        *,
        ttl: Optional[float] = None,
        on_failure: Optional[Callable[[model.Failure], object]] = None,
    ) -> Pending[Hold]:
        """Waits for one invitation with this tag and holds it: ``async with node.accept("train", timeout=60) as hold:``. Raises ``WaitTimeout``."""
        return Pending(lambda: self._accept(tag, timeout, ttl, on_failure))

    def events(self, *, after: Optional[str] = None, reconnect: float = RECONNECT) -> EventStream:
        """What happens at this node from now on, or after the event of this id. A node that is gone is looked for again for ``reconnect`` seconds."""
        self._check_owner()
        return self._opened(EventStream(self._endpoint, None, after, reconnect))

    def admissions(self) -> Wishes:
        """Peers that want to come into groups of this node: answer with ``group.admit`` or ``group.refuse``."""
        self._check_owner()
        return self._opened(Wishes(self._endpoint))

    # Process groups.

    async def process_groups(self) -> tuple[pg.ProcessGroupInfo, ...]:
        """Those in which this node is, or into which it is on its way."""
        return await self._make(_calls.process_groups())

    async def process_group(self, name: str) -> pg.ProcessGroupInfo:
        """One of them; its ``why()`` says how it stands."""
        return await self._make(_calls.process_group_info(name))

    async def state(self, name: str) -> pg.State:
        """The state value of a process group."""
        return await self._make(_calls.state(name))

    async def set_state(
        self, name: str, value: Bytes, *, expected: Optional[int] = None, timeout: Optional[float] = _calls.WORK
    ) -> pg.Resolution:
        """Replaces the state value of a process group in which a process of this node is. With ``expected`` only if it has that version."""
        return await self._make(_calls.set_state(name, None, value, expected, timeout))

    def join_process_group(
        self,
        name: str,
        *,
        instance: Optional[str] = None,
        info: Bytes = b"",
        attributes: Optional[Mapping[str, Any]] = None,
        timeout: Optional[float] = _calls.WORK,
    ) -> Pending[Provider]:
        """Brings this process into a process group, which is founded if there is none: ``async with node.join_process_group("cache") as provider:``.

        ``instance``: what the process is called. ``info``: what the others are to know of it. Raises ``NotJoined``.
        """
        return Pending(lambda: self._provider(name, instance, info, attributes, timeout))

    async def barrier(
        self, name: str, count: int, *, instance: Optional[str] = None, timeout: Optional[float] = None
    ) -> tuple[str, ...]:
        """Waits until ``count`` processes are at the barrier of this name; who was there. Raises ``BarrierMissed``. Meets ``fatebound pg barrier``, too."""
        clock = Clock(timeout)
        info = _calls.barrier_sign(count)
        try:
            provider = await self._provider(name, instance, info, None, timeout)
        except (CallTimeout, WaitTimeout) as error:
            if timeout is None:
                raise
            raise BarrierMissed(f"not at the barrier {name} in time: {error}", ()) from None
        return await barrier(provider, name, count, clock)

    def lock(self, name: str, *, instance: Optional[str] = None, timeout: Optional[float] = None) -> Pending[Lock]:
        """Waits until this process has the lock of this name: ``async with node.lock("backup") as lock:``. Raises ``WaitTimeout``."""
        return Pending(lambda: self._take_lock(name, instance, timeout))

    # Inside.

    async def _make(self, call: Call[T]) -> T:
        self._check_owner()
        return await make(self._endpoint, call)

    async def _held(
        self, request: Any, timeout: Optional[float], on_failure: Optional[Callable[[model.Failure], object]]
    ) -> Hold:
        self._check_owner()
        stream = await Stream.open(self._endpoint, request, timeout if timeout is not None else _calls.WORK)
        hold = stream.first
        self._run_stream(stream)
        assert hold is not None
        if on_failure is not None:
            hold.on_failure(on_failure)
        return hold

    async def _invitations(self, tag: str, count: Optional[int], ttl: Optional[float]) -> Invitations:
        self._check_owner()
        invitations = Invitations(tag)
        await invitations.open(self._endpoint, _calls.invitations(tag, count, ttl))
        self._run_stream(invitations.stream)
        return invitations

    async def _accept(
        self,
        tag: str,
        timeout: Optional[float],
        ttl: Optional[float],
        on_failure: Optional[Callable[[model.Failure], object]],
    ) -> Hold:
        hold = await accept_one(await self._invitations(tag, 1, ttl), timeout)
        if on_failure is not None:
            hold.on_failure(on_failure)
        return hold

    async def _provider(
        self,
        name: str,
        instance: Optional[str],
        info: Bytes,
        attributes: Optional[Mapping[str, Any]],
        timeout: Optional[float],
    ) -> Provider:
        self._check_owner()
        provider = await Provider.join(self._endpoint, name, instance, info, attributes, timeout)
        self._kept.add(provider)
        provider.closed = lambda: self._forget(provider)
        return provider

    async def _take_lock(self, name: str, instance: Optional[str], timeout: Optional[float]) -> Lock:
        clock = Clock(timeout)
        try:
            provider = await self._provider(name, instance, b"", None, timeout)
        except CallTimeout as error:
            if timeout is None:
                raise
            raise WaitTimeout(f"not at the lock {name} in time: {error}") from None
        return await Lock.take(provider, clock)

    def _run_stream(self, stream: Stream) -> None:
        self._kept.add(stream)
        stream.ended.append(lambda: self._forget(stream))
        stream.start()

    def _forget(self, one: Any) -> None:
        self._kept.discard(one)

    def _opened(self, one: O) -> O:
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

    async def show(self) -> model.GroupInfo:
        """What the node knows of it."""
        return await self._node._make(_calls.show(self.id))

    async def failure(self) -> Optional[model.Failure]:
        """Why it has failed, if it has."""
        event = (await self.show()).failure
        return None if event is None else model.Failure.of(self.id, event.reason, event.message)

    async def signal(self, reason: str = "") -> bool:
        """Fails it, with a reason that every member reads; false if it had failed before."""
        return not (await self._node._make(_calls.signal(self.id, reason))).already_failed

    async def check(self) -> model.Checked:
        """Asks every member whether it lives and knows the group."""
        return await self._node._make(_calls.check(self.id))

    async def join(self, timeout: Optional[float] = None) -> model.Joined:
        """Comes in as a member, for as long as the node runs. A process that wants to share the group's fate holds it: :meth:`hold`."""
        return await self._node._make(_calls.join(self.id, False, timeout))

    async def observe(self, timeout: Optional[float] = None) -> model.Joined:
        """Comes in as an observer: is told of its failure, and is no cause of one."""
        return await self._node._make(_calls.join(self.id, True, timeout))

    async def leave(self) -> None:
        """Leaves it; at its root, closes it."""
        await self._node._make(_calls.leave(self.id))

    async def close(self) -> None:
        """At its root: closes it, which is no failure."""
        await self._node._make(_calls.close(self.id))

    async def admit(self, peer: str) -> None:
        """Lets in a peer that asked."""
        await self._node._make(_calls.admit(self.id, peer, None))

    async def refuse(self, peer: str, reason: str = "") -> None:
        """Keeps out a peer that asked."""
        await self._node._make(_calls.admit(self.id, peer, reason))

    def hold(
        self,
        *,
        timeout: Optional[float] = None,
        ttl: Optional[float] = None,
        on_failure: Optional[Callable[[model.Failure], object]] = None,
    ) -> Pending[Hold]:
        """Makes this process a part of the group, which the node joins if it is not in it: ``async with group.hold() as hold:``.

        ``timeout``: how long the root has to let the node in. ``ttl``: a hold that is not renewed within so many seconds has ended.
        """
        return Pending(lambda: self._node._held(_calls.join_and_hold(self.id, timeout, ttl), timeout, on_failure))

    def events(self, *, after: Optional[str] = None, reconnect: float = RECONNECT) -> EventStream:
        """Its events from now on; the last one is its end. One that is over has that one alone."""
        self._node._check_owner()
        return self._node._opened(EventStream(self._node._endpoint, self.id, after, reconnect))

    async def wait_failed(self, timeout: Optional[float] = None) -> Optional[model.Failure]:
        """Waits until it fails; returns at once if it has. None: it was closed or left. Raises ``WaitTimeout`` and ``NodeUnreachable``."""
        return await wait_failed(self.events(), self.id, timeout)

    def on_failure(self, callback: Callable[[model.Failure], object]) -> Registration:
        """Has this called when it fails, or at once if it has; a coroutine function is run in a task. A node that is lost, and not found again in time, counts as a failure."""
        node = self._node
        node._check_owner()
        watch = Watch(EventStream(node._endpoint, self.id, None, RECONNECT), self.id, node._forget)
        watch.ended.on(lambda end: None if end[0] is None else callback(end[0]))
        node._kept.add(watch)
        return Registration(watch.close)
