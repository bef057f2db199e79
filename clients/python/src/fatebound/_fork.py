"""A forked child has no part in what its parent holds.

A hold lasts as long as its connection is open, and a child of ``fork`` has a copy of every connection: the parent could be killed, and nobody would
notice. So the child closes its copies at once, without a word to the node. (``exec`` closes them anyway: sockets of Python are not inherited.)
"""

from __future__ import annotations

import os
import socket
import threading
import weakref

from .errors import ForkedError

_lock = threading.RLock()
_sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def open_socket(family: int) -> socket.socket:
    """A socket that a forked child closes. Nobody forks between its making and its being known."""
    with _lock:
        made = socket.socket(family, socket.SOCK_STREAM)
        _sockets.add(made)
    return made


def _in_child() -> None:
    global _lock
    for inherited in list(_sockets):
        # Closed by number: shutting it down would end the parent's connection as well.
        number = inherited.detach()
        if number >= 0:
            try:
                os.close(number)
            except OSError:
                pass
    _sockets.clear()
    _lock = threading.RLock()


def _before() -> None:
    _lock.acquire()


def _in_parent() -> None:
    _lock.release()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)


class Owned:
    """What belongs to the process that made it."""

    def __init__(self) -> None:
        self._owner = os.getpid()

    def _check_owner(self) -> None:
        if os.getpid() != self._owner:
            raise ForkedError(
                f"this {type(self).__name__} belongs to process {self._owner}, from which this process ({os.getpid()}) was forked: "
                "it has no part in what its parent holds; make a new Node here"
            )

    def _inherited(self) -> bool:
        return os.getpid() != self._owner
