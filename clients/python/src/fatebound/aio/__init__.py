"""The asyncio client: the same names as in :mod:`fatebound`, to be awaited.

What holds something, or waits for something, is had by ``await`` or entered by ``async with``: ``async with node.create_and_hold(peers) as hold:``.
"""

from ._events import EventStream, Wishes
from ._hold import Hold, Invitations
from ._node import Group, Node
from ._once import Pending, Registration
from ._provider import Lock, Provider

__all__ = ["EventStream", "Group", "Hold", "Invitations", "Lock", "Node", "Pending", "Provider", "Registration", "Wishes"]
