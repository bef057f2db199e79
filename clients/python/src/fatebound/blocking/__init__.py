"""The blocking client."""

from ._events import EventStream, Wishes
from ._hold import Hold, Invitations
from ._node import Group, Node
from ._once import Registration
from ._provider import Lock, Provider

__all__ = ["EventStream", "Group", "Hold", "Invitations", "Lock", "Node", "Provider", "Registration", "Wishes"]
