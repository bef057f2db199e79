"""Fatebound for Python: processes on several machines that fail together, and process groups.

The blocking client is here, the asyncio client with the same names in :mod:`fatebound.aio`. Both talk to a node of this machine, started by
``fatebound node``.
"""

from . import errors as errors
from . import model as model
from . import process_group as process_group
from .blocking import EventStream, Group, Hold, Invitations, Lock, Node, Provider, Registration, Wishes
from .errors import *  # noqa: F403
from .model import (
    Checked,
    CheckedMember,
    Event,
    Failure,
    GroupInfo,
    Groups,
    Joined,
    NameInfo,
    NodeInfo,
    Peer,
    Refusal,
    Wish,
)
from .process_group import Proposal, Verdict

__version__ = "0.1.0"

__all__ = [
    "Checked",
    "CheckedMember",
    "Event",
    "EventStream",
    "Failure",
    "Group",
    "GroupInfo",
    "Groups",
    "Hold",
    "Invitations",
    "Joined",
    "Lock",
    "NameInfo",
    "Node",
    "NodeInfo",
    "Peer",
    "Proposal",
    "Provider",
    "Refusal",
    "Registration",
    "Verdict",
    "Wish",
    "Wishes",
    "errors",
    "model",
    "process_group",
]
__all__ += errors.__all__
