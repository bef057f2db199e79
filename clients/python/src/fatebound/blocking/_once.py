"""Something that happens at most once, and whoever waits for it."""

from __future__ import annotations

import logging
import threading
from typing import Callable, Generic, Optional, TypeVar

from ..errors import WaitTimeout

T = TypeVar("T")

_log = logging.getLogger("fatebound")


class Registration:
    """A callback that is to be called. As a context manager it is cancelled at the block's end."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel

    def cancel(self) -> None:
        """Takes it back; one that runs already runs on."""
        self._cancel()

    def __enter__(self) -> Registration:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class Once(Generic[T]):
    """A value that is set at most once."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._value: Optional[T] = None
        self._callbacks: dict[object, Callable[[T], object]] = {}

    def set(self, value: T) -> bool:
        """Sets it and calls all callbacks, in this thread; false if it was set before."""
        with self._changed:
            if self._value is not None:
                return False
            self._value = value
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
            self._changed.notify_all()
        for callback in callbacks:
            # Not even a SystemExit is to end this thread: others depend on it.
            _call(callback, value, BaseException)
        return True

    def get(self) -> Optional[T]:
        """The value, if it is set."""
        with self._changed:
            return self._value

    def wait(self, timeout: Optional[float], what: str) -> T:
        """Waits for it; raises ``WaitTimeout``."""
        with self._changed:
            self._changed.wait_for(lambda: self._value is not None, timeout)
            if self._value is None:
                raise WaitTimeout(f"{what} within {timeout:g} s")
            return self._value

    def on(self, callback: Callable[[T], object]) -> Registration:
        """Has this called with the value: at once, in this thread, if it is set already."""
        key = object()
        with self._changed:
            value = self._value
            if value is None:
                self._callbacks[key] = callback
        if value is not None:
            _call(callback, value, Exception)
        return Registration(lambda: self._forget(key))

    def _forget(self, key: object) -> None:
        with self._changed:
            self._callbacks.pop(key, None)


def _call(callback: Callable[[T], object], value: T, caught: type[BaseException]) -> None:
    try:
        callback(value)
    except caught:
        _log.exception("a callback has failed")
