"""How holds end: the same for the blocking and the asyncio client."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Optional

from .errors import ForeignAnswer, GroupFailed, Problem
from .model import Failure

GIVEN_UP = "given_up"
"""The reason of a failure that this process has brought about by ending the connection on which it held."""


@dataclass(frozen=True)
class End:
    """How a hold has ended: ``failed``, ``closed`` or ``left``; and if it failed, why."""

    how: str
    failure: Optional[Failure] = None


def event_name(data: Any) -> str:
    """What an event on a hold's stream says."""
    name = data.get("event") if isinstance(data, dict) else None
    if not isinstance(name, str):
        raise ForeignAnswer("an event without a name")
    return name


def end_of(data: Any) -> Optional[tuple[str, End]]:
    """If this event ends a hold: which, and how."""
    name = event_name(data)
    hold, group = data.get("hold"), data.get("group")
    if name not in ("failed", "closed", "left") or not isinstance(hold, str):
        return None
    if name != "failed":
        return hold, End(name)
    reason = data.get("reason")
    failure = Failure.of(str(group), reason if isinstance(reason, dict) else None, data.get("message"))
    return hold, End(name, failure)


def given_up(group: str) -> End:
    """Of a hold whose connection this process has ended."""
    return End("failed", Failure(group, GIVEN_UP, "this process has given up its hold", {"kind": GIVEN_UP}))


def failed_meanwhile(group: str, error: Problem) -> Optional[GroupFailed]:
    """When a leave was refused because the group had failed: that failure."""
    if error.kind != "group-failed":
        return None
    reason = error.document.get("reason")
    return GroupFailed(Failure.of(group, reason if isinstance(reason, dict) else None))


def is_clean(kind: Optional[type[BaseException]], error: Optional[BaseException]) -> bool:
    """Whether a block that ends like this has done its work: without an exception, or with an exit of zero."""
    return kind is None or isinstance(error, SystemExit) and error.code in (None, 0)


MAX_REASON = 200


def reason_of(error: Optional[BaseException], _: Optional[TracebackType] = None) -> str:
    """An exception in the words of a signal."""
    words = str(error)
    name = type(error).__name__
    return (f"{name}: {words}" if words else name)[:MAX_REASON]
