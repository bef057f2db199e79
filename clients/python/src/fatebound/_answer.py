"""What an answer means, and in which words a call fails: the same for every way of waiting."""

from __future__ import annotations

import json
from typing import Any, Callable, TypeVar

from ._address import Address
from ._http import Request
from .errors import CallTimeout, Changed, ForeignAnswer, NodeUnreachable, Problem

T = TypeVar("T")


def read_answer(status: int, body: bytes, read: Callable[[Any], T]) -> T:
    """The answer's meaning, or the problem that it is."""
    if status >= 300:
        raise problem(status, body)
    if not body:
        return read(None)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise ForeignAnswer(f"the answer is no JSON: {body[:80]!r}") from None
    return read(value)


def problem(status: int, body: bytes) -> Exception:
    """The answer that says no."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict) and isinstance(document.get("type"), str):
        return Problem.of(document)
    return ForeignAnswer(f"the answer is not one of a Fatebound node: status {status}")


def not_reached(address: Address, error: OSError) -> NodeUnreachable:
    """Nothing was sent."""
    words = error.strerror or str(error)
    return NodeUnreachable(f"no node can be reached at {address} ({words}); is `fatebound node` running there?")


def broken_off(address: Address, request: Request) -> NodeUnreachable:
    """The connection ended before the answer had."""
    return NodeUnreachable(f"the node at {address} went away before it had answered", _changed(request))


def silent(address: Address, request: Request, sent: bool) -> CallTimeout:
    """The time is over."""
    words = f"the node at {address} has not answered in time: it is stopped, hangs or is very busy"
    changed = _changed(request) if sent else Changed.NO
    if changed is Changed.UNKNOWN:
        words += ", and may still do what it was asked"
    return CallTimeout(words, changed)


def lost(address: Address) -> NodeUnreachable:
    """A stream has ended before its time."""
    return NodeUnreachable(f"the node at {address} has gone away")


def fallen_silent(address: Address, seconds: float) -> CallTimeout:
    """A stream on which nothing came."""
    return CallTimeout(f"the node at {address} has said nothing for {seconds:g} s: it is stopped or hangs")


def _changed(request: Request) -> Changed:
    return Changed.NO if request.reads else Changed.UNKNOWN
