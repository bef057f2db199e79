"""What a node tells about process groups: their documents, and the events of a provider.

Nodes are a ``PeerId`` and an incarnation, providers ``<PeerId>.<incarnation>.<serial>``.
"""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Union

from ._read import decode, written
from .errors import ForeignAnswer


class Verdict(enum.Enum):
    """A vote's verdict."""

    APPROVE = "approve"
    CONTINUE = "continue"
    """Let there be another phase."""
    REJECT = "reject"


@dataclass(frozen=True)
class Founding:
    """One founding of a name."""

    incarnation: int
    founder: str


@dataclass(frozen=True)
class Voter:
    """A node of a view."""

    peer: str
    incarnation: str
    weight: int
    witness: bool = False


@dataclass(frozen=True)
class View:
    """A view begins."""

    number: int
    voters: tuple[Voter, ...]
    """Its nodes by age, the leader first."""
    policy: str


@dataclass(frozen=True)
class Quorum:
    """What it takes to decide: of ``of`` nodes (or weights) ``need``; ``may_lose`` nodes may be lost at once."""

    of: int
    need: int
    may_lose: int


@dataclass(frozen=True)
class Blocked:
    """There is no quorum."""

    have: int
    need: int
    missing: tuple[str, ...]

    def __str__(self) -> str:
        return f"the group is blocked: {self.have} of {self.need} that are needed answer; missing: {', '.join(self.missing)}"


@dataclass(frozen=True)
class ProviderInfo:
    """One provider."""

    provider: str
    peer: str
    instance: bytes
    standing: str
    """``present``, ``failed`` or ``absent``."""
    info: bytes = b""
    reason: Optional[str] = None

    @property
    def name(self) -> str:
        """For people: its instance at the end of its peer's name, as the program has it."""
        return f"{self.instance.decode('utf-8', 'replace')}@{self.peer[-8:]}"


@dataclass(frozen=True)
class State:
    """The state value."""

    version: int
    value: bytes


@dataclass(frozen=True)
class Ballot:
    """Whose vote was what."""

    provider: str
    verdict: Verdict
    by_default: Optional[str] = None
    """Why the default, where it did not vote: ``gone``, ``absent`` or ``silent``."""
    message: bytes = b""


@dataclass(frozen=True)
class Protocol:
    """The protocol that runs."""

    protocol: int
    change: Mapping[str, Any]
    limit_ms: float
    default: Verdict
    voters: tuple[str, ...]
    phase: Optional[int] = None
    awaited: Optional[tuple[str, ...]] = None


@dataclass(frozen=True)
class ProcessGroupInfo:
    """One process group, as a node knows it."""

    name: str
    status: str
    """``joining``, ``normal``, ``wedged``, ``coordinating``, ``blocked`` or ``gone``."""
    doing: Optional[str] = None
    leader: Optional[str] = None
    leads: bool = False
    founding: Optional[Founding] = None
    view: Optional[View] = None
    quorum: Optional[Quorum] = None
    blocked: Optional[Blocked] = None
    epoch: Optional[str] = None
    """The number of the last decision, decimal."""
    providers: tuple[ProviderInfo, ...] = ()
    """The oldest first."""
    own: tuple[str, ...] = ()
    state: Optional[State] = None
    protocol: Optional[Protocol] = None
    attributes: Optional[Mapping[str, Any]] = None

    def why(self) -> str:
        """How it stands, and what it waits for, in sentences."""
        said = [f"{self.name} is {self.status}."]
        if self.doing:
            said.append(f"This node: {self.doing}.")
        if self.leader:
            said.append("This node leads it." if self.leads else f"{self.leader} leads it.")
        if self.quorum:
            quorum = self.quorum
            said.append(f"{quorum.need} of {quorum.of} decide; any {quorum.may_lose} of its nodes may be lost at once.")
        if self.blocked:
            blocked = self.blocked
            missing = ", ".join(blocked.missing)
            said.append(f"There is no quorum: {blocked.have} of the {blocked.need} that are needed answer. Missing: {missing}.")
        if self.providers:
            said.append(f"Its providers: {', '.join(provider.name for provider in self.providers)}.")
        if self.protocol:
            phase = "commands of deactivation run" if self.protocol.phase is None else f"phase {self.protocol.phase} is open"
            said.append(f"A protocol about {self.protocol.change.get('kind', 'something')} runs: {phase}.")
            if self.protocol.awaited:
                said.append(f"These have not voted: {', '.join(self.protocol.awaited)}.")
        return " ".join(said)


@dataclass(frozen=True)
class ProcessGroups:
    """A listing."""

    process_groups: tuple[ProcessGroupInfo, ...]


@dataclass(frozen=True)
class Resolution:
    """What became of a proposal, or of a leave."""

    outcome: str
    """``approved``, ``rejected``, ``too_many_phases``, or ``unknown``: this node was put out of the group, where it may or may not have come true."""
    epoch: Optional[str] = None
    votes: tuple[Ballot, ...] = ()
    exits: tuple[str, ...] = ()

    @property
    def approved(self) -> bool:
        """Whether it has come true."""
        return self.outcome == "approved"


@dataclass(frozen=True)
class ProviderJoined:
    """The first event: this process is a provider."""

    provider: str
    group: str
    epoch: str


@dataclass(frozen=True)
class Wedged:
    """The view is over, and the next is not agreed on yet: nothing is shown until then."""

    view: int


@dataclass(frozen=True)
class Unblocked:
    """There is a quorum again."""


@dataclass(frozen=True)
class Opened:
    """A phase is open: those of ``voters`` are asked."""

    protocol: int
    phase: int
    change: Mapping[str, Any]
    default: Verdict
    limit_ms: float
    voters: tuple[str, ...]
    state: Optional[bytes] = None
    before: tuple[Ballot, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """A protocol has ended."""

    protocol: int
    change: Mapping[str, Any]
    outcome: str
    epoch: str
    votes: tuple[Ballot, ...] = ()
    exits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Departure:
    """Who has gone, and why: ``left``, ``expelled`` or ``failed``."""

    provider: str
    why: str
    message: str


@dataclass(frozen=True)
class Providers:
    """The list is another one."""

    epoch: str
    providers: tuple[ProviderInfo, ...]
    left: tuple[Departure, ...] = ()
    joined: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attributes:
    """The attributes are other ones."""

    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """A message to all."""

    sender: str
    body: bytes


@dataclass(frozen=True)
class ProviderFailed:
    """Somebody has failed, and is in the list until its removal."""

    provider: str
    reason: str
    text: bytes = b""


@dataclass(frozen=True)
class JoinerGone:
    """Somebody who wanted to come in is gone."""

    provider: str


@dataclass(frozen=True)
class Announced:
    """Somebody is slow: ``unresponsive``, ``did_not_vote`` or ``lagging``."""

    provider: str
    remark: str


@dataclass(frozen=True)
class Raised:
    """The group's incarnation is a larger one."""

    epoch: str


@dataclass(frozen=True)
class VoteRefused:
    """A vote of this process does not count."""

    protocol: int
    phase: int
    message: str


@dataclass(frozen=True)
class TooLate:
    """A vote of this process came too late: the default was counted."""

    protocol: int
    phase: int


@dataclass(frozen=True)
class NotSent:
    """A message of this process was not sent after all."""

    message: str


@dataclass(frozen=True)
class Deactivate:
    """This process was expelled, and the group wants it ended; ``deactivated`` tells how that went."""

    protocol: int
    argument: bytes = b""


@dataclass(frozen=True)
class Removed:
    """The group goes on without this node."""

    view: int
    leader: str


@dataclass(frozen=True)
class Dissolved:
    """The group is given up for an older one of the same name."""

    founder: str


@dataclass(frozen=True)
class Ended:
    """This process is in the group no more: ``left``, ``expelled``, ``failed``, ``not_joined`` or ``put_out``."""

    why: str
    message: str


@dataclass(frozen=True)
class Unknown:
    """An event of a later version."""

    event: str
    data: Mapping[str, Any]


ProviderEvent = Union[
    ProviderJoined,
    View,
    Wedged,
    Blocked,
    Unblocked,
    Opened,
    Outcome,
    Providers,
    State,
    Attributes,
    Message,
    ProviderFailed,
    JoinerGone,
    Announced,
    Raised,
    VoteRefused,
    TooLate,
    NotSent,
    Deactivate,
    Removed,
    Dissolved,
    Ended,
    Unknown,
]
"""One event of a provider. Those that concern the group come to all providers in the same order."""

_EVENTS: dict[str, type[Any]] = {
    "joined": ProviderJoined,
    "view": View,
    "wedged": Wedged,
    "blocked": Blocked,
    "unblocked": Unblocked,
    "opened": Opened,
    "outcome": Outcome,
    "providers": Providers,
    "state": State,
    "failed": ProviderFailed,
    "joiner_gone": JoinerGone,
    "announced": Announced,
    "raised": Raised,
    "vote_refused": VoteRefused,
    "too_late": TooLate,
    "not_sent": NotSent,
    "deactivate": Deactivate,
    "removed": Removed,
    "dissolved": Dissolved,
    "ended": Ended,
}


def read_event(data: Any) -> ProviderEvent:
    """An event of an attachment."""
    if not isinstance(data, dict) or not isinstance(data.get("event"), str):
        raise ForeignAnswer("an event without a name")
    name = data["event"]
    more = {key: value for key, value in data.items() if key != "event"}
    if name == "message":
        return decode(Message, {"sender": data.get("from"), "body": data.get("body")})
    if name == "attributes":
        return Attributes(more)
    if name in _EVENTS:
        event: ProviderEvent = decode(_EVENTS[name], data)
        return event
    return Unknown(name, more)


def end_of(event: ProviderEvent) -> Optional[tuple[str, str]]:
    """When it says that this process is out of the group: why, for programs and for people."""
    if isinstance(event, Ended):
        return event.why, event.message
    if isinstance(event, Removed):
        return "removed", f"the group goes on without this node; {event.leader} leads it"
    if isinstance(event, Dissolved):
        return "dissolved", f"the group was given up for an older one of its name, founded by {event.founder}"
    return None


@dataclass(frozen=True)
class Proposal:
    """Exactly one of ``state``, ``message``, ``expel``, ``attributes`` and ``barrier``."""

    state: Optional[Union[str, bytes]] = None
    expected: Optional[int] = None
    """With ``state``: only if the value that it replaces has this version."""
    message: Optional[Union[str, bytes]] = None
    expel: Optional[tuple[str, ...]] = None
    deactivate: Optional[Union[str, bytes]] = None
    """With ``expel``: the processes are ended at their nodes, with this argument."""
    attributes: Optional[Mapping[str, Any]] = None
    barrier: Optional[Union[str, bytes]] = None
    """That everybody comes to the point of this name: always voted upon."""
    voted: bool = False
    limit_ms: Optional[int] = None
    """How long each phase waits, where the group's limit is not right."""

    def body(self) -> dict[str, Any]:
        """As the node reads it."""
        said = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            name: written(value) if isinstance(value, (str, bytes)) else list(value) if isinstance(value, tuple) else value
            for name, value in said.items()
            if value is not None and value is not False
        }
