"""What a node tells about itself and its groups. Times that end in ``_ms`` are milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional

from ._read import either

__all__ = [
    "BootstrapProblem",
    "Checked",
    "CheckedMember",
    "Created",
    "Event",
    "Failure",
    "GroupInfo",
    "Groups",
    "Joined",
    "NameInfo",
    "NodeInfo",
    "Peer",
    "Refusal",
    "Wish",
]

NODE_LOST = "node_lost"
"""The reason of a failure that no node reports: this process has lost its own node, and with it what it held."""


@dataclass(frozen=True)
class Event:
    """One event of a node."""

    event: str
    """What happened: ``failed``, ``closed``, ``left``, ``created``, ``member``, ``link_up``, … or ``gap``: events before this one are lost."""
    seq: int = 0
    """1, 2, 3 … within the node's life; for ``gap`` that of the last event before it."""
    time: str = ""
    """When the node learnt of it, RFC 3339."""
    group: Optional[str] = None
    peer: Optional[str] = None
    reason: Optional[Mapping[str, Any]] = None
    """Why, for programs: ``kind`` and what belongs to it."""
    message: Optional[str] = None
    """What it means, for people."""
    state: bytes = either("application_state")
    """For ``invited``: what the group's creator wants its members to know."""
    missed: Optional[int] = None
    """For ``gap``: how many events were lost; none when nobody can know."""
    id: Optional[str] = None
    """Where to go on after this event: ``node.events(after=event.id)``."""

    @property
    def is_end(self) -> bool:
        """Whether nothing follows about its group."""
        return self.event in ("failed", "closed", "left")


@dataclass(frozen=True)
class Failure:
    """The failure of a group."""

    group: str
    kind: str
    """Why, for programs: ``signalled``, ``member_died``, ``member_unreachable``, ``root_died``, …, or ``node_lost``: this process has lost its own node."""
    message: str
    """Why, for people."""
    reason: Mapping[str, Any] = field(default_factory=dict)
    """Why, as the node said it: ``kind`` and what belongs to it."""

    @property
    def peer(self) -> Optional[str]:
        """The peer that it is about, where there is one: that died, or that signalled."""
        peer = self.reason.get("peer", self.reason.get("by"))
        return peer if isinstance(peer, str) else None

    @property
    def text(self) -> Optional[str]:
        """The words of whoever signalled."""
        text = self.reason.get("text")
        return text if isinstance(text, str) else None

    @staticmethod
    def of(group: str, reason: Optional[Mapping[str, Any]], message: Optional[str] = None) -> Failure:
        """From a node's words."""
        reason = reason or {}
        kind = str(reason.get("kind", "not_known"))
        failure = Failure(group, kind, message or "", reason)
        if message:
            return failure
        words = failure.text if failure.text is not None else kind.replace("_", " ")
        return Failure(group, kind, f"{words} ({failure.peer})" if failure.peer else words, reason)

    @staticmethod
    def lost(group: str, error: Exception) -> Failure:
        """This process has lost its node."""
        return Failure(group, NODE_LOST, f"this process has lost its node: {error}", {"kind": NODE_LOST})


@dataclass(frozen=True)
class GroupInfo:
    """One group, as a node knows it."""

    group: str
    state: str
    """``alive``, ``creating``, ``failed``, ``closed`` or ``left``."""
    root: str
    role: Optional[str] = None
    """``root``, ``member``, ``observer`` or ``delegate``; none for a group that is over."""
    members: tuple[str, ...] = ()
    """As far as known here, the root first."""
    observers: tuple[str, ...] = ()
    tag: Optional[str] = None
    hops: tuple[Optional[int], ...] = ()
    """At the root: hops of each member's path, in the order of ``members`` without the root; none while a path is not up."""
    repairing: Optional[int] = None
    notification_bound_ms: Optional[float] = None
    """Within this time of the first failure every live member is told."""
    application_state: bytes = either("application_state")
    """What its creator wanted its members to know; not in listings."""
    failure: Optional[Event] = None
    end: Optional[Event] = None
    """When ``state`` is ``closed`` or ``left``: when."""


@dataclass(frozen=True)
class Groups:
    """A listing."""

    groups: tuple[GroupInfo, ...]
    truncated: bool = False
    """Whether there are more."""


@dataclass(frozen=True)
class Created:
    """A group that was created."""

    group: str
    root: str
    members: tuple[str, ...]
    created_ms: float


@dataclass(frozen=True)
class Joined:
    """A group that this node has come into."""

    group: str
    root: str
    role: str
    members: tuple[str, ...]
    joined_ms: float


@dataclass(frozen=True)
class Departed:
    """A group that this node is in no more."""

    group: str
    state: str


@dataclass(frozen=True)
class Signalled:
    """The answer to a signal."""

    group: str
    already_failed: bool


@dataclass(frozen=True)
class CheckedMember:
    """One member's answer to a check."""

    peer: str
    alive: bool


@dataclass(frozen=True)
class Checked:
    """What a check has found."""

    group: str
    alive: bool
    members: tuple[CheckedMember, ...] = ()
    failure: Optional[Event] = None


@dataclass(frozen=True)
class Refusal:
    """One member that did not accept."""

    peer: str
    kind: str = "unknown"
    message: str = ""


@dataclass(frozen=True)
class Wish:
    """A peer that wants to come into a group of this node."""

    group: str
    peer: str
    observe: bool
    """Only as an observer."""


@dataclass(frozen=True)
class BootstrapProblem:
    """A bootstrap address that leads to nobody."""

    address: str
    reason: str


@dataclass(frozen=True)
class NodeInfo:
    """A node at a glance."""

    peer: str
    incarnation: str
    version: str
    profile: str
    """Its preset of timings: ``local``, ``lan`` or ``wan``."""
    uptime_ms: float
    joined: bool
    """Whether it is part of its overlay."""
    network: Optional[str] = None
    listen: tuple[str, ...] = ()
    """Where it listens, each ending in ``/p2p/<PeerId>``."""
    isolated: bool = False
    bootstrap_problems: tuple[BootstrapProblem, ...] = ()
    links: Mapping[str, Any] = field(default_factory=dict)
    groups: Mapping[str, Any] = field(default_factory=dict)
    paths: Mapping[str, Any] = field(default_factory=dict)
    notification_bound_ms: float = 0.0
    counters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Peer:
    """One neighbour of a node."""

    peer: str
    link: str
    """``alive`` or ``doubtful``."""
    wanted: bool = False
    paths: int = 0
    round_trip_ms: Optional[float] = None
    incarnation: str = ""
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Peers:
    """All of them."""

    peers: tuple[Peer, ...]


@dataclass(frozen=True)
class NameInfo:
    """An entry of the directory."""

    name: str
    publisher: str
    incarnation: int
    view: int
    text: Optional[str] = None
    base64: Optional[str] = None


@dataclass(frozen=True)
class HeldInfo:
    """A hold's beginning: the event ``held`` or ``invited``."""

    hold: str
    group: str
    root: str
    peer: str
    members: tuple[str, ...] = ()
    tag: Optional[str] = None
    state: bytes = either("state")
