"""JSON as dataclasses: the fields' annotations say what is expected.

Fields that a class does not have are ignored, because later nodes may say more. A field with a default may be missing. ``bytes`` are octets: a string
where they are text, ``{"base64": "…"}`` where they are not; a field made with :func:`either` is spread over two of JSON, ``NAME`` and ``NAME_base64``.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import enum
import functools
import typing
from typing import Any, Mapping, TypeVar, Union

from .errors import ForeignAnswer

T = TypeVar("T")


def either(name: str) -> Any:
    """A field of bytes that are ``name`` where they are text, else ``name_base64``; empty where neither is said."""
    return dataclasses.field(default=b"", metadata={"either": name})


def decode(cls: type[T], value: object) -> T:
    """The value as this dataclass; raises ``ForeignAnswer`` where it is none."""
    if not isinstance(value, dict):
        raise ForeignAnswer(f"{cls.__name__}: an object was expected, not {type(value).__name__}")
    return cls(**{name: _field(cls, field, hint, value) for name, field, hint in _fields(typing.cast(Any, cls)) if _given(field, value)})


@functools.lru_cache(maxsize=None)
def _fields(cls: type[Any]) -> tuple[tuple[str, dataclasses.Field[Any], Any], ...]:
    hints = typing.get_type_hints(cls)
    return tuple((field.name, field, hints[field.name]) for field in dataclasses.fields(cls) if field.init)


def _given(field: dataclasses.Field[Any], value: Mapping[str, Any]) -> bool:
    if "either" in field.metadata or value.get(field.name) is not None:
        return True
    optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    return not optional


def _field(cls: type[Any], field: dataclasses.Field[Any], hint: Any, value: Mapping[str, Any]) -> Any:
    where = f"{cls.__name__}.{field.name}"
    if "either" in field.metadata:
        name = field.metadata["either"]
        encoded = value.get(f"{name}_base64")
        return octets({"base64": encoded} if encoded is not None else value.get(name, ""), where)
    return convert(hint, value.get(field.name), where)


def convert(hint: Any, value: Any, where: str) -> Any:
    """The value as what this annotation says."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or hint is object:
        return value
    if origin is Union:
        if value is None and type(None) in arguments:
            return None
        return convert(next(argument for argument in arguments if argument is not type(None)), value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(convert(arguments[0], item, where) for item in value)
    if hint is bytes:
        return octets(value, where)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint in (str, bool) and isinstance(value, hint):
        return value
    if origin is not None and isinstance(value, dict) and issubclass(dict, origin):
        return value
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        try:
            return hint(value)
        except ValueError:
            raise ForeignAnswer(f"{where}: {value!r} is not expected") from None
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return decode(hint, value)
    raise ForeignAnswer(f"{where}: {type(value).__name__} is not expected")


def octets(value: object, where: str) -> bytes:
    """Bytes of JSON."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict) and isinstance(value.get("base64"), str):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except binascii.Error as error:
            raise ForeignAnswer(f"{where}: {error}") from None
    raise ForeignAnswer(f"{where}: neither text nor base64")


def written(value: Union[str, bytes]) -> Any:
    """Text or bytes as JSON has them."""
    if isinstance(value, str):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode("ascii")}
