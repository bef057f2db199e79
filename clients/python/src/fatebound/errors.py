"""What can go wrong, and whether anything has changed when it did."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Mapping

if TYPE_CHECKING:
    from .model import Failure, Refusal

__all__ = [
    "BarrierMissed",
    "Busy",
    "CallTimeout",
    "Changed",
    "CreationFailed",
    "CreationRefused",
    "FateboundError",
    "ForbiddenHost",
    "ForeignAnswer",
    "ForkedError",
    "GroupAmbiguous",
    "GroupClosed",
    "GroupFailed",
    "GroupNotKnown",
    "GroupOver",
    "HoldUnknown",
    "InvalidAddress",
    "InvalidRequest",
    "LockLost",
    "NameNotKnown",
    "NameTaken",
    "NodeUnreachable",
    "NotAdmitted",
    "NotAllowed",
    "NotJoined",
    "OrderRefused",
    "Problem",
    "ProcessGroupEnded",
    "ProcessGroupNotKnown",
    "ProviderNotKnown",
    "Unauthorized",
    "VersionMismatch",
    "WaitTimeout",
]


class Changed(enum.Enum):
    """Whether a call that failed has changed anything."""

    NO = "no"
    """Nothing has changed: the call may simply be made again."""
    UNKNOWN = "unknown"
    """The node may have done what it was asked, or may still do it: look before you ask again."""


class FateboundError(Exception):
    """Every error of this package."""

    changed: Changed = Changed.NO
    """Whether anything has changed."""


class InvalidAddress(FateboundError, ValueError):
    """The API's address, its token or its time limit makes no sense. Nothing was sent."""


class ForkedError(FateboundError, RuntimeError):
    """Something of a parent process is used in its forked child, which has no part in it: make a new ``Node`` there."""


class WaitTimeout(FateboundError, TimeoutError):
    """What was waited for has not happened in time. It may still happen."""


class NodeUnreachable(FateboundError, ConnectionError):
    """No node answers there, or it went away before it had answered."""

    def __init__(self, message: str, changed: Changed = Changed.NO) -> None:
        super().__init__(message)
        self.changed = changed


class CallTimeout(NodeUnreachable, TimeoutError):
    """The node has not answered in time: it is stopped, hangs or is very busy."""


class ForeignAnswer(FateboundError):
    """The answer is not one of a Fatebound node."""

    changed = Changed.UNKNOWN


class GroupFailed(FateboundError):
    """A group that this process held has failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"group {failure.group} has failed: {failure.message}")
        self.failure = failure
        """Why."""


class LockLost(FateboundError):
    """The lock is this process's no more, or its node cannot say so: whatever it protects belongs to somebody else."""


class BarrierMissed(WaitTimeout):
    """Not enough processes came to the barrier in time."""

    def __init__(self, message: str, here: tuple[str, ...]) -> None:
        super().__init__(message)
        self.here = here
        """Who waits there, this process included; nobody, if it has not come into the group in time."""


class ProcessGroupEnded(FateboundError):
    """This process is in the process group no more."""

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message)
        self.why = why
        """``left``, ``expelled``, ``failed``, ``put_out``, ``removed``, ``dissolved``, …"""


class Problem(FateboundError):
    """The node said no, with a problem document (RFC 9457)."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        """All of it."""
        self.kind = _text(document, "type").rpartition(":")[2]
        """What went wrong, for programs: the last part of the document's ``type``, as in ``group-not-known``."""
        self.title = _text(document, "title")
        """The kind of problem, for people."""
        self.detail = _text(document, "detail")
        """This very problem, for people."""
        status = document.get("status")
        self.status = status if isinstance(status, int) else 0
        """The HTTP status."""
        self.changed = _CHANGED.get(self.kind, Changed.UNKNOWN if self.status >= 500 else Changed.NO)
        super().__init__(self.detail or self.title or self.kind)

    @staticmethod
    def of(document: Mapping[str, Any]) -> Problem:
        """The problem as the class of its kind."""
        kind = _text(document, "type").rpartition(":")[2]
        return _KINDS.get(kind, Problem)(document)


class InvalidRequest(Problem):
    """The node does not understand the request."""


class Unauthorized(Problem):
    """The node wants a token, or another one."""


class ForbiddenHost(Problem):
    """The node does not go by the name under which it was asked."""


class GroupNotKnown(Problem):
    """No group of this id is known at this node."""


class GroupAmbiguous(Problem):
    """Several groups begin like this."""

    @property
    def candidates(self) -> tuple[str, ...]:
        """Some of them."""
        return tuple(str(group) for group in self.document.get("candidates") or ())


class CreationFailed(Problem):
    """Not every member accepted: there is no such group. Members that had accepted are told that it failed."""

    @property
    def group(self) -> str:
        """The id that it would have had."""
        return _text(self.document, "group")

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """Each member that did not accept, and why."""
        from .model import Refusal
        from ._read import decode

        return tuple(decode(Refusal, refusal) for refusal in self.document.get("refusals") or ())


class CreationRefused(Problem):
    """The node did not even try to create the group."""


class NotAllowed(Problem):
    """This node may not do that with this group."""


class NotAdmitted(Problem):
    """The root did not let this node into the group, or could not be asked."""


class GroupOver(Problem):
    """The group has failed, or is not known."""

    @property
    def reason(self) -> Mapping[str, Any]:
        """Why."""
        reason = self.document.get("reason")
        return reason if isinstance(reason, dict) else {}


class GroupClosed(GroupOver):
    """The group was closed by its root."""


class Busy(Problem):
    """The node serves as many requests of this kind as it can: ask again later."""


class HoldUnknown(Problem):
    """There is no such hold, or no more."""


class NameNotKnown(Problem):
    """Nobody publishes this name, as far as is known by now."""


class NameTaken(Problem):
    """Somebody else publishes this name."""


class ProcessGroupNotKnown(Problem):
    """This node is in no process group of this name."""


class ProviderNotKnown(Problem):
    """No process that is attached at this node is called so."""


class _Refused(Problem):
    @property
    def refusal(self) -> Mapping[str, Any]:
        """Why, for programs: ``kind`` and what belongs to it."""
        refusal = self.document.get("refusal")
        return refusal if isinstance(refusal, dict) else {}


class NotJoined(_Refused):
    """The process did not come into the process group."""


class OrderRefused(_Refused):
    """An order in a process group was refused, and nothing has changed."""


class VersionMismatch(_Refused):
    """The state value has another version by now, and nothing has changed."""


_KINDS: dict[str, type[Problem]] = {
    "invalid-request": InvalidRequest,
    "invalid-name": InvalidRequest,
    "unauthorized": Unauthorized,
    "forbidden-host": ForbiddenHost,
    "group-not-known": GroupNotKnown,
    "group-ambiguous": GroupAmbiguous,
    "creation-failed": CreationFailed,
    "creation-refused": CreationRefused,
    "not-allowed": NotAllowed,
    "not-admitted": NotAdmitted,
    "group-over": GroupOver,
    "group-closed": GroupClosed,
    "group-failed": GroupOver,
    "busy": Busy,
    "hold-unknown": HoldUnknown,
    "name-not-known": NameNotKnown,
    "name-not-yet-known": NameNotKnown,
    "name-taken": NameTaken,
    "process-group-not-known": ProcessGroupNotKnown,
    "provider-not-known": ProviderNotKnown,
    "not-joined": NotJoined,
    "order-refused": OrderRefused,
    "version-mismatch": VersionMismatch,
}

_CHANGED: dict[str, Changed] = {
    "busy": Changed.NO,
    "stopping": Changed.UNKNOWN,
    "not-admitted": Changed.UNKNOWN,
    "not-joined": Changed.UNKNOWN,
    "name-not-published": Changed.UNKNOWN,
}


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""
