"""Something that happens at most once, and whoever waits for it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from types import TracebackType
from typing import Awaitable, Callable, Generator, Generic, Optional, Protocol, TypeVar

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
        self._value: Optional[T] = None
        self._callbacks: dict[object, Callable[[T], object]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def set(self, value: T) -> bool:
        """Sets it and calls all callbacks; false if it was set before."""
        if self._value is not None:
            return False
        self._value = value
        callbacks = list(self._callbacks.values())
        self._callbacks.clear()
        for callback in callbacks:
            self._call(callback, value)
        return True

    def get(self) -> Optional[T]:
        """The value, if it is set."""
        return self._value

    async def wait(self, timeout: Optional[float], what: str) -> T:
        """Waits for it; raises ``WaitTimeout``."""
        if self._value is None:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            with self.on(lambda _: None if waiting.done() else waiting.set_result(None)):
                await asyncio.wait([waiting], timeout=timeout)
        if self._value is None:
            raise WaitTimeout(f"{what} within {timeout:g} s")
        return self._value

    def on(self, callback: Callable[[T], object]) -> Registration:
        """Has this called with the value: at once if it is set already. What a callback returns is awaited, if it can be, in a task of its own."""
        key = object()
        if self._value is None:
            self._callbacks[key] = callback
        else:
            self._call(callback, self._value)
        return Registration(lambda: self._forget(key))

    def _forget(self, key: object) -> None:
        self._callbacks.pop(key, None)

    def _call(self, callback: Callable[[T], object], value: T) -> None:
        try:
            result = callback(value)
        except Exception:
            _log.exception("a callback has failed")
            return
        if inspect.isawaitable(result):
            task = asyncio.get_running_loop().create_task(_await(result))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _await(result: Awaitable[object]) -> None:
    try:
        await result
    except Exception:
        _log.exception("a callback has failed")


class _Managed(Protocol):
    async def __aenter__(self: T) -> T: ...

    async def __aexit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> Optional[bool]: ...


M = TypeVar("M", bound=_Managed)


class Pending(Generic[M]):
    """Something that has to be awaited to be had: ``x = await …``, or ``async with … as x:``. Nothing is asked before."""

    def __init__(self, make: Callable[[], Awaitable[M]]) -> None:
        self._make = make
        self._made: Optional[M] = None

    def __await__(self) -> Generator[object, None, M]:
        return self._make().__await__()

    async def __aenter__(self) -> M:
        made = self._made = await self._make()
        return await made.__aenter__()

    async def __aexit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> Optional[bool]:
        assert self._made is not None
        return await self._made.__aexit__(kind, error, trace)
