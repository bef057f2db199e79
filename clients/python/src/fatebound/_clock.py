"""How much time is left."""

from __future__ import annotations

import time
from typing import Optional


class TimeIsOver(Exception):
    """There is none."""


class Clock:
    """The time until a moment, or without an end."""

    def __init__(self, seconds: Optional[float]) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> Optional[float]:
        """Seconds that are left, none where there is no end; raises ``TimeIsOver``."""
        if self._end is None:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeIsOver
        return left
