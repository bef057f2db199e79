"""Where a node serves its API: found like the program's own commands find it."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Optional, Union
from urllib.parse import urlsplit

from .errors import InvalidAddress

DEFAULT_TIMEOUT = 10.0


@dataclass(frozen=True)
class UnixAddress:
    """A Unix socket."""

    path: str

    host = "localhost"

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True)
class TcpAddress:
    """A host and a port."""

    name: str
    port: int

    @property
    def host(self) -> str:
        """For the header of that name."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"{name}:{self.port}"

    def __str__(self) -> str:
        return f"http://{self.host}"


Address = Union[UnixAddress, TcpAddress]


def find(api: Optional[str], environment: Mapping[str, str]) -> Address:
    """The address that was given, else ``FATEBOUND_API``, else the program's default."""
    text = api if api is not None else environment.get("FATEBOUND_API")
    return parse(text) if text is not None else UnixAddress(default_socket(environment, os.geteuid()))


def parse(text: str) -> Address:
    """``unix:PATH``, ``http://HOST:PORT`` or ``HOST:PORT``."""
    if text.startswith("unix:") and len(text) > len("unix:"):
        return UnixAddress(text[len("unix:") :])
    if "://" not in text or text.startswith("http://"):
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            name, port = parts.hostname, parts.port
        except ValueError as error:
            raise InvalidAddress(f"{text!r}: {error}") from None
        if name and port and not parts.path.strip("/") and not parts.query and parts.username is None:
            return TcpAddress(name, port)
    raise InvalidAddress(f"{text!r} is not the address of an API: expected unix:PATH or http://HOST:PORT")


def default_socket(environment: Mapping[str, str], user: int) -> str:
    """Where a node of this user serves unless somebody says otherwise."""
    runtime = _absolute(environment, "XDG_RUNTIME_DIR")
    if runtime is not None:
        return str(runtime / "fatebound.sock")
    if user == 0:
        return "/run/fatebound.sock"
    state, home = _absolute(environment, "XDG_STATE_HOME"), _absolute(environment, "HOME")
    if state is None and home is not None:
        state = home / ".local/state"
    if state is not None:
        return str(state / "fatebound" / "api.sock")
    shared = Path(f"/tmp/fatebound-{user}")
    _private(shared, user)
    return str(shared / "api.sock")


def _absolute(environment: Mapping[str, str], name: str) -> Optional[Path]:
    path = Path(environment.get(name, ""))
    return path if path.is_absolute() else None


def _private(directory: Path, user: int) -> None:
    """In a place where all may write, another user could wait for our clients."""
    try:
        found = directory.lstat()
    except OSError:
        return
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o077:
        raise InvalidAddress(f"{directory} is not a directory of this user alone: name the API's address")


def find_token(token: Optional[str], file: Optional[str], environment: Mapping[str, str]) -> Optional[str]:
    """The token that was given, else that in the file, else that in the file of ``FATEBOUND_API_TOKEN_FILE``."""
    if token is None:
        file = file if file is not None else environment.get("FATEBOUND_API_TOKEN_FILE")
        if file is None:
            return None
        try:
            token = Path(file).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidAddress(f"the token file {file}: {error}") from None
    if not token or not all("!" <= character <= "~" for character in token):
        raise InvalidAddress("a token has at least one character, none of them a space")
    return token


_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def find_timeout(timeout: Optional[float], environment: Mapping[str, str]) -> float:
    """The limit that was given, else ``FATEBOUND_API_TIMEOUT`` (as in ``1.5s`` or ``2m 30s``), else 10 s."""
    if timeout is None:
        text = environment.get("FATEBOUND_API_TIMEOUT")
        timeout = DEFAULT_TIMEOUT if text is None else _duration(text)
    if not 0 < timeout < float("inf"):
        raise InvalidAddress("a time limit is longer than nothing")
    return timeout


def _duration(text: str) -> float:
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*", text)
    if not parts or "".join(number + unit for number, unit in parts) != "".join(text.split()):
        raise InvalidAddress(f"FATEBOUND_API_TIMEOUT: {text!r} is no duration (as in 500ms, 3s, 2m)")
    try:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    except KeyError as unit:
        raise InvalidAddress(f"FATEBOUND_API_TIMEOUT: no unit {unit} (as in 500ms, 3s, 2m)") from None
