"""What processes at a barrier, or at a lock, know of each other: the same for the blocking and the asyncio client, and the same as ``fatebound pg``."""

from __future__ import annotations

import json
from typing import Optional

from .errors import FateboundError
from .process_group import Blocked, ProviderEvent, ProviderInfo, Providers, Proposal, State, Unblocked, View


class Meeting:
    """What is known of a barrier.

    Everybody sees the same list of providers grow in the same order. When enough are in it that wait, the oldest of these says in the group's state
    value who may go, and those go. A process that comes later sees there whom not to count.
    """

    def __init__(self, name: str, me: str, count: int) -> None:
        self.blocked: Optional[Blocked] = None
        self.here: Optional[tuple[str, ...]] = None
        """Who may go together with this process, once the news has come in its place among all others."""
        self._name = name
        self._me = me
        self._count = count
        self._sign = sign(count)
        self._providers: tuple[ProviderInfo, ...] = ()
        self._released: tuple[str, ...] = ()
        self._version = 0

    def known(self, state: State) -> None:
        """Takes a state value, unless a later one is known. As the node's present it may be ahead of the events."""
        if state.version > self._version:
            self._released = self._read(state)
            self._version = state.version

    def follow(self, event: ProviderEvent) -> None:
        """Takes an event."""
        if isinstance(event, Providers):
            self._providers = event.providers
        elif isinstance(event, State):
            may_go = self._read(event)
            if self._me in may_go:
                self.here = tuple(provider.name for provider in self._providers if provider.provider in may_go)
            self.known(event)
        elif isinstance(event, Blocked):
            self.blocked = event
        elif isinstance(event, (Unblocked, View)):
            self.blocked = None

    def waiting(self) -> tuple[ProviderInfo, ...]:
        """Who waits for the same and may not go yet, the oldest first."""
        return tuple(
            provider
            for provider in self._providers
            if provider.standing == "present" and provider.info == self._sign and provider.provider not in self._released
        )

    def turn(self) -> Optional[Proposal]:
        """What this process has to say, if enough wait and it is the oldest of them."""
        waiting = [provider.provider for provider in self.waiting()]
        if len(waiting) < self._count or waiting[0] != self._me:
            return None
        listed = {provider.provider for provider in self._providers}
        released = [provider for provider in self._released if provider in listed] + waiting
        return Proposal(state=json.dumps({"released": released}), expected=self._version)

    def missed(self) -> str:
        """Who is there, and how many are not."""
        here = [provider.name for provider in self.waiting()]
        words = f"{len(here)} of {self._count} came to the barrier {self._name}"
        if here:
            words += f": {', '.join(here)}"
        return f"{words}; {self.blocked}" if self.blocked else words

    def _read(self, state: State) -> tuple[str, ...]:
        try:
            value = json.loads(state.value)
            released = value["released"]
        except (ValueError, TypeError, KeyError, RecursionError):
            released = None
        if not isinstance(released, list) or not all(isinstance(provider, str) for provider in released):
            raise FateboundError(f"{self._name} is no barrier, something else uses this group: its state is {state.value[:80]!r}")
        return tuple(released)


def sign(count: int) -> bytes:
    """What all who wait for the same have as their info."""
    return f"waits for {count}".encode("ascii")


def turn_of(event: ProviderEvent, me: str) -> Optional[int]:
    """The epoch since when this process is the oldest in the list, and so has the lock."""
    if isinstance(event, Providers) and event.providers and event.providers[0].provider == me:
        return int(event.epoch)
    return None


ASKED = 1.0
"""A process that has a lock asks its node this often whether it lives."""
LOCK_SILENCE = 4.0
"""A node that does not answer for so long hangs, or is stopped: it would hardly notice if the others went on without it."""
