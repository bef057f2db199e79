"""Which node, and how it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional

from . import _address


@dataclass(frozen=True)
class Endpoint:
    """Where, with which token, and how long a node may be silent."""

    address: _address.Address
    token: Optional[str]
    patience: float


def find(
    api: Optional[str],
    token: Optional[str],
    token_file: Optional[str],
    timeout: Optional[float],
    environment: Mapping[str, str],
) -> Endpoint:
    """From what was given, and from the environment."""
    address = _address.find(api, environment)
    wanted = token is not None or token_file is not None or isinstance(address, _address.TcpAddress)
    found = _address.find_token(token, token_file, environment) if wanted else None
    return Endpoint(address, found, _address.find_timeout(timeout, environment))
