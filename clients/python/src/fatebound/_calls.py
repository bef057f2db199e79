"""Every call of the API as a value: what is asked, how the answer is read, and how long it may take.

The blocking and the asyncio client make the same calls; only how they wait differs.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Callable, Generic, Iterable, Mapping, Optional, TypeVar, Union
from urllib.parse import quote, urlencode

from . import model, process_group
from ._meeting import sign
from ._http import Request
from ._read import decode, written

T = TypeVar("T")

WORK = 60.0
"""A call that waits for other nodes has so many seconds unless its caller says otherwise, and beyond that the time of every call."""
CHECK = 15.0
"""A check asks its members for at most so long."""

SILENCES = {"local": 3.0, "lan": 10.0, "wan": 30.0}
"""A node that says nothing on a hold's stream for so many seconds, by its profile, is lost; it says something every second."""
SILENCE = 45.0
"""The same for other streams, on which it says something every 15 s."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call."""

    request: Request
    read: Callable[[Any], T]
    work: Optional[float] = 0.0
    """Seconds that the node needs for it, beyond the time of every call; none: as many as it takes."""


def _of(cls: type[T], method: str, path: str, body: Optional[Mapping[str, Any]] = None, work: Optional[float] = 0.0) -> Call[T]:
    return Call(Request(method, path, body), lambda value: decode(cls, value), work)


def _nothing(method: str, path: str, body: Mapping[str, Any], work: Optional[float] = 0.0) -> Call[None]:
    return Call(Request(method, path, body), lambda _: None, work)


def _milliseconds(seconds: float, what: str) -> int:
    if not 0 < seconds < 1e12:
        raise ValueError(f"{what}: longer than nothing")
    return max(1, round(seconds * 1000))


def _said(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _query(**fields: Any) -> str:
    said = _said(**fields)
    return f"?{urlencode(said)}" if said else ""


def _group(group: str) -> str:
    return f"/v1/groups/{quote(group, safe='')}"


def _process_group(name: str) -> str:
    return f"/v1/process-groups/{quote(name, safe='')}"


def _provider(name: str, provider: str) -> str:
    return f"{_process_group(name)}/providers/{quote(provider, safe='')}"


# The node.


def node() -> Call[model.NodeInfo]:
    return _of(model.NodeInfo, "GET", "/v1/node")


def peers() -> Call[tuple[model.Peer, ...]]:
    return Call(Request("GET", "/v1/peers"), lambda value: decode(model.Peers, value).peers)


def lookup(name: str, timeout: Optional[float]) -> Call[model.NameInfo]:
    return _of(model.NameInfo, "GET", f"/v1/directory/{quote(name, safe='')}", work=timeout)


def publish(name: str, text: str, timeout: Optional[float]) -> Call[None]:
    return _nothing("PUT", f"/v1/directory/{quote(name, safe='')}", {"text": text}, timeout)


# Groups.


def groups(all: bool, limit: Optional[int]) -> Call[model.Groups]:
    return _of(model.Groups, "GET", f"/v1/groups{_query(all='true' if all else None, limit=limit)}")


def show(group: str) -> Call[model.GroupInfo]:
    return _of(model.GroupInfo, "GET", _group(group))


Admit = Union[str, Iterable[str]]


def creation(
    members: Iterable[str], tag: Optional[str], state: Union[str, bytes], admit: Optional[Admit], timeout: Optional[float]
) -> dict[str, Any]:
    """The body of a creation."""
    if isinstance(members, str):
        raise TypeError("members: several peers, not one text")
    body = _said(members=list(members), tag=tag)
    if timeout is not None:
        body["timeout_ms"] = _milliseconds(timeout, "timeout")
    if admit is not None:
        body["admit"] = admit if isinstance(admit, str) else {"listed": list(admit)}
    if isinstance(state, str) and state:
        body["state"] = state
    elif state and not isinstance(state, str):
        body["state_base64"] = base64.b64encode(state).decode("ascii")
    return body


def create(body: Mapping[str, Any], timeout: Optional[float]) -> Call[model.Created]:
    return _of(model.Created, "POST", "/v1/groups", body, timeout if timeout is not None else WORK)


def _within(timeout: Optional[float]) -> dict[str, Any]:
    return {} if timeout is None else {"timeout_ms": _milliseconds(timeout, "timeout")}


def join(group: str, observe: bool, timeout: Optional[float]) -> Call[model.Joined]:
    path = f"{_group(group)}/{'observe' if observe else 'join'}"
    return _of(model.Joined, "POST", path, _within(timeout), timeout if timeout is not None else WORK)


def leave(group: str) -> Call[model.Departed]:
    return _of(model.Departed, "DELETE", _group(group), work=WORK)


def close(group: str) -> Call[model.Departed]:
    return _of(model.Departed, "POST", f"{_group(group)}/close", {})


def signal(group: str, reason: str) -> Call[model.Signalled]:
    return _of(model.Signalled, "POST", f"{_group(group)}/signal", {"reason": reason})


def check(group: str) -> Call[model.Checked]:
    return _of(model.Checked, "POST", f"{_group(group)}/check", {}, CHECK)


def admit(group: str, peer: str, refusal: Optional[str]) -> Call[None]:
    return _nothing("POST", f"{_group(group)}/admissions", _said(peer=peer, admit=refusal is None, reason=refusal))


def events(group: Optional[str], after: Optional[str]) -> Request:
    path = "/v1/events" if group is None else f"{_group(group)}/events"
    return Request("GET", path, headers={} if after is None else {"Last-Event-ID": after})


def admissions() -> Request:
    return Request("GET", "/v1/admissions")


def read_event(identity: Optional[str], data: Any) -> model.Event:
    event = decode(model.Event, data)
    return event if identity is None else _with_id(event, identity)


def _with_id(event: model.Event, identity: str) -> model.Event:
    fields = {name: getattr(event, name) for name in event.__dataclass_fields__}
    return model.Event(**{**fields, "id": identity})


# Holds.


def _ttl(ttl: Optional[float]) -> Optional[int]:
    return None if ttl is None else _milliseconds(ttl, "ttl")


def create_and_hold(body: Mapping[str, Any], ttl: Optional[float]) -> Request:
    return Request("POST", f"/v1/groups{_query(hold='true', ttl_ms=_ttl(ttl))}", body)


def join_and_hold(group: str, timeout: Optional[float], ttl: Optional[float]) -> Request:
    return Request("POST", f"{_group(group)}/join{_query(hold='true', ttl_ms=_ttl(ttl))}", _within(timeout))


def invitations(tag: str, count: Optional[int], ttl: Optional[float]) -> Request:
    return Request("GET", f"/v1/invitations{_query(tag=tag, count=count, ttl_ms=_ttl(ttl))}")


def _hold(hold: str) -> str:
    return f"/v1/holds/{quote(hold, safe='')}"


def leave_hold(hold: str, timeout: Optional[float]) -> Call[None]:
    return _nothing("POST", f"{_hold(hold)}/leave", {}, timeout)


def signal_hold(hold: str, reason: str) -> Call[None]:
    return _nothing("POST", f"{_hold(hold)}/signal", {"reason": reason})


def renew_hold(hold: str) -> Call[None]:
    return _nothing("POST", f"{_hold(hold)}/renew", {})


# Process groups.


def process_groups() -> Call[tuple[process_group.ProcessGroupInfo, ...]]:
    return Call(
        Request("GET", "/v1/process-groups"),
        lambda value: decode(process_group.ProcessGroups, value).process_groups,
    )


def process_group_info(name: str) -> Call[process_group.ProcessGroupInfo]:
    return _of(process_group.ProcessGroupInfo, "GET", _process_group(name))


def state(name: str) -> Call[process_group.State]:
    return _of(process_group.State, "GET", f"{_process_group(name)}/state")


def set_state(
    name: str, provider: Optional[str], value: Union[str, bytes], expected: Optional[int], timeout: Optional[float]
) -> Call[process_group.Resolution]:
    headers = {} if expected is None else {"If-Match": f'"{expected}"'}
    path = f"{_process_group(name)}/state{_query(provider=provider)}"
    request = Request("PUT", path, {"value": written(value)}, headers)
    return Call(request, lambda value: decode(process_group.Resolution, value), timeout)


def attach(
    name: str, instance: Optional[str], info: Union[str, bytes], attributes: Optional[Mapping[str, Any]]
) -> Request:
    body = _said(instance=instance, attributes=attributes)
    if info:
        body["info"] = written(info)
    return Request("POST", f"{_process_group(name)}/providers", body)


def send(name: str, provider: str, body: Union[str, bytes], timeout: Optional[float]) -> Call[None]:
    return _nothing("POST", f"{_provider(name, provider)}/messages", {"body": written(body)}, timeout)


def propose(
    name: str, provider: str, proposal: process_group.Proposal, timeout: Optional[float]
) -> Call[process_group.Resolution]:
    path = f"{_provider(name, provider)}/proposals"
    return _of(process_group.Resolution, "POST", path, proposal.body(), timeout)


def vote(
    name: str,
    provider: str,
    opened: process_group.Opened,
    verdict: process_group.Verdict,
    message: Union[str, bytes],
    state: Optional[Union[str, bytes]],
    default: Optional[process_group.Verdict],
) -> Call[None]:
    body = _said(
        protocol=opened.protocol,
        phase=opened.phase,
        verdict=verdict.value,
        message=written(message) if message else None,
        state=None if state is None else written(state),
        default=None if default is None else default.value,
    )
    return _nothing("POST", f"{_provider(name, provider)}/votes", body)


def leave_process_group(
    name: str, provider: str, goodbye: Optional[str], timeout: Optional[float]
) -> Call[process_group.Resolution]:
    path = f"{_provider(name, provider)}/leave"
    return _of(process_group.Resolution, "POST", path, _said(goodbye=goodbye), timeout)


def deactivated(name: str, provider: str, protocol: int, status: Optional[int]) -> Call[None]:
    return _nothing("POST", f"{_provider(name, provider)}/deactivations", _said(protocol=protocol, status=status))


def barrier_sign(count: int) -> bytes:
    if count < 1:
        raise ValueError("count: at least 1")
    return sign(count)
