"""The management API as the commands use it, over httpx.

Imported only by a command that really speaks to the daemon: httpx costs more
time than everything else `atoll --help` needs.
"""

import re
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote, urlencode

import httpx
import msgspec
from msgspec import Struct

from atoll.wire.json import JsonObject
from atoll_supervisor.api.rows import AgentList, AgentRow
from atoll_supervisor.cli.codes import Exit, Failure
from atoll_supervisor.cli.target import Verb, agents_go_on, left_alone
from atoll_supervisor.core.answers import (
    ErrorBody,
    EventList,
    Health,
    LogLine,
    Reloaded,
    Upgrading,
)
from atoll_supervisor.core.happening import Happening
from atoll_supervisor.core.runs.answers import RunEvents, RunList
from atoll_supervisor.core.runs.events import Told
from atoll_supervisor.core.runs.records import Kind
from atoll_supervisor.core.runs.view import RunBody, RunRow
from atoll_supervisor.core.services.order import Wish
from atoll_supervisor.core.services.record import Service, ServiceGroup, ServiceRow
from atoll_supervisor.core.services.summary import Listed, Logs, Stopped

Answer = TypeVar("Answer")


_TIMEOUT = httpx.Timeout(10.0)
_ACTION_TIMEOUT = httpx.Timeout(10.0, read=300.0)
"""Starting waits for a model to be loaded, stopping for the turns under way."""
_STREAM_TIMEOUT = httpx.Timeout(10.0, read=None)
_EVENTS_TIMEOUT = httpx.Timeout(10.0, read=50.0)
"""A daemon that lives says so every 15 s in a stream of events."""

_SERVICES = "/api/v1/services"

_ID = re.compile(r"[\w-]+")
"""What an id of a run or a service may look like; dots would lead to another route."""
_NO_SERVICES, _NO_RUNS = ("targets",), ("agent", "flock", "batch")
"""Words that stand in a route where an id may stand, and are none."""
_THEIR_LIST = "`atoll services` lists them"
_EXITS = {401: Exit.AUTH, 404: Exit.NO_SUCH_AGENT, 504: Exit.TIMEOUT}


class Address(Struct, frozen=True):
    """Where the daemon is, and its token ("" when there is none)."""

    url: str
    token: str


class Management:
    """One connection to the daemon; every fault comes out as a Failure with its exit code."""

    def __init__(self, address: Address) -> None:
        headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
        self._url = address.url
        # trust_env off: a proxy of the environment must never see the token.
        self._http = httpx.AsyncClient(
            base_url=address.url, headers=headers, timeout=_TIMEOUT, trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def health(self) -> Health:
        """The daemon's own health."""
        return self._read(await self._send("GET", "/health"), Health)

    async def rows(self) -> tuple[AgentRow, ...]:
        """Every agent, sorted by slug."""
        return self._read(await self._send("GET", "/api/v1/agents"), AgentList).agents

    async def row(self, name: str) -> AgentRow:
        """One agent by any spelling of its name."""
        return self._read(await self._send("GET", _path(name)), AgentRow)

    async def act(self, verb: Verb, name: str) -> AgentRow:
        """Start, stop or restart one agent and wait until it is done."""
        answer = await self._send("POST", f"{_path(name)}/{verb}", _ACTION_TIMEOUT)
        return self._read(answer, AgentRow)

    async def reload(self, *, runtime: bool) -> tuple[str, ...]:
        """Have the manifests read again; with `runtime`, the agents that move to the new code."""
        path = f"/api/v1/reload?runtime={str(runtime).lower()}"
        answer = await self._send("POST", path, _ACTION_TIMEOUT)
        return self._read(answer, Reloaded).renewed

    async def upgrade(self) -> str:
        """Have the daemon become the program on the disk; the id of the instance that goes."""
        answer = await self._send("POST", "/api/v1/upgrade", _ACTION_TIMEOUT)
        return self._read(answer, Upgrading).instance_id

    async def lines(self, name: str, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        """The last `tail` lines of an agent's output; with `follow` also all that come."""
        request = self._http.build_request(
            "GET",
            f"{_path(name)}/logs",
            params={"tail": tail, "follow": str(follow).lower()},
            headers={"Accept": "application/x-ndjson"},
            timeout=_STREAM_TIMEOUT,
        )
        answer = await self._checked(request, stream=True)
        try:
            async for line in answer.aiter_lines():
                if line:
                    yield msgspec.json.decode(line, type=LogLine)
        except (httpx.HTTPError, msgspec.DecodeError):
            raise self._broken_off() from None
        finally:
            await answer.aclose()

    async def events(self, name: str | None, after: int | None, tail: int) -> tuple[Happening, ...]:
        """The last events of an agent or of all, or the first ones after an id; oldest first."""
        place = "" if after is None else f"&after={after}"
        path = f"{_events_path(name)}?tail={tail}{place}"
        return self._read(await self._send("GET", path), EventList).events

    async def happenings(self, name: str | None, after: int) -> AsyncIterator[Happening]:
        """Every event after an id, and each new one as it comes, until the daemon leaves."""
        request = self._http.build_request(
            "GET",
            _events_path(name),
            params={"after": after},
            headers={"Accept": "text/event-stream"},
            timeout=_EVENTS_TIMEOUT,
        )
        async for one in self._stream(request, Happening):
            yield one

    async def runs(self, tail: int, status: str | None, agent: str | None) -> tuple[RunRow, ...]:
        """The newest runs, newest first."""
        wishes = {"limit": str(tail), "status": status, "agent": agent}
        query = urlencode({name: wish for name, wish in wishes.items() if wish is not None})
        return self._read(await self._send("GET", f"/run?{query}"), RunList).runs

    async def run(self, run_id: str) -> RunBody:
        """One run."""
        return self._read(await self._send("GET", _run_path(run_id)), RunBody)

    async def run_events(self, run_id: str) -> tuple[Told, ...]:
        """What has happened to it, oldest first."""
        headers = {"Accept": "application/json"}
        path = f"{_run_path(run_id)}/events"
        request = self._http.build_request("GET", path, headers=headers)
        return self._read(await self._checked(request, stream=False), RunEvents).events

    async def follow_run(self, run_id: str, after: int) -> AsyncIterator[Told]:
        """What happens to it after an event's id, as it happens, until it has ended."""
        request = self._http.build_request(
            "GET",
            f"{_run_path(run_id)}/events",
            params={"after": after},
            headers={"Accept": "text/event-stream"},
            timeout=_EVENTS_TIMEOUT,
        )
        async for one in self._stream(request, Told):
            yield one

    async def start_run(self, kind: Kind, agent: str, inputs: JsonObject) -> RunBody:
        """A run that has been accepted, and goes on in the background."""
        wanted = {"agent_name": agent, "inputs": inputs, "async_run": True}
        headers = {"Content-Type": "application/json"}
        request = self._http.build_request(
            "POST", f"/run/{kind}", content=msgspec.json.encode(wanted), headers=headers
        )
        return self._read(await self._checked(request, stream=False), RunBody)

    async def cancel_run(self, run_id: str) -> RunBody:
        """The run when it has ended, by this or before."""
        return self._read(await self._send("POST", f"{_run_path(run_id)}/cancel"), RunBody)

    async def services(self) -> tuple[ServiceRow, ...]:
        """Every service, oldest first."""
        return self._read(await self._send("GET", _SERVICES), tuple[ServiceRow, ...])

    async def recipes(self) -> tuple[Listed, ...]:
        """What services can be made of."""
        return self._read(await self._send("GET", "/api/v1/recipes"), tuple[Listed, ...])

    async def service(self, name: str) -> Service:
        """A service or a group."""
        return self._service(await self._to_service("GET", name))

    async def create_service(self, wish: Wish) -> Service:
        """Start one; with replicas the group."""
        headers = {"Content-Type": "application/json"}
        body = msgspec.json.encode(wish)
        request = self._http.build_request(
            "POST", _SERVICES, content=body, headers=headers, timeout=_ACTION_TIMEOUT
        )
        return self._service(await self._checked(request, stream=False))

    async def end_service(self, name: str, *, purge: bool) -> str:
        """End a service or a group; what the daemon says of that."""
        answer = await self._to_service("DELETE", name, f"?purge={str(purge).lower()}")
        return self._read(answer, Stopped).message

    async def restart_service(self, name: str) -> Service:
        """Start a service or a group again."""
        return self._service(await self._to_service("POST", name, "/restart"))

    async def service_logs(self, name: str, tail: int) -> str:
        """The last lines that a service printed, or each replica of a group."""
        return self._read(await self._to_service("GET", name, f"/logs?tail={tail}"), Logs).logs

    async def service_lines(self, name: str, tail: int) -> AsyncIterator[str]:
        """The last lines of a service, and each new one as it comes."""
        path = f"{_service_path(name)}/logs?tail={tail}&follow=true"
        request = self._http.build_request("GET", path, timeout=_STREAM_TIMEOUT)
        answer = await self._checked(request, stream=True)
        try:
            async for line in answer.aiter_lines():
                yield line
        except httpx.HTTPError:
            raise self._broken_off() from None
        finally:
            await answer.aclose()

    async def _stream(self, request: httpx.Request, kind: type[Answer]) -> AsyncIterator[Answer]:
        """The data of server-sent events, each as it comes."""
        answer = await self._checked(request, stream=True)
        try:
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    yield msgspec.json.decode(line.removeprefix("data:"), type=kind)
        except (httpx.HTTPError, msgspec.DecodeError):
            raise self._broken_off() from None
        finally:
            await answer.aclose()

    async def _to_service(self, method: str, name: str, more: str = "") -> httpx.Response:
        path = f"{_service_path(name)}{more}"
        try:
            return await self._send(method, path, _ACTION_TIMEOUT)
        except Failure as failure:
            if failure.exit is Exit.NO_SUCH_AGENT:
                failure.hint = _THEIR_LIST
            raise

    def _service(self, answer: httpx.Response) -> Service:
        if "replicas" in self._read(answer, dict[str, object]):
            return self._read(answer, ServiceGroup)
        return self._read(answer, ServiceRow)

    async def _send(
        self, method: str, path: str, limits: httpx.Timeout = _TIMEOUT
    ) -> httpx.Response:
        request = self._http.build_request(method, path, timeout=limits)
        return await self._checked(request, stream=False)

    async def _checked(self, request: httpx.Request, stream: bool) -> httpx.Response:
        try:
            answer = await self._http.send(request, stream=stream)
            if answer.is_error:
                await answer.aread()
        except httpx.ConnectError:
            raise not_running(self._url) from None
        except httpx.TimeoutException:
            if agents_go_on():
                raise left_alone(self._url) from None
            message = f"the daemon at {self._url} did not answer in time"
            raise Failure(message, Exit.TIMEOUT) from None
        except httpx.HTTPError as error:
            raise Failure(f"the daemon at {self._url} broke off: {error}") from None
        if answer.is_error:
            raise self._failure(answer)
        return answer

    def _broken_off(self) -> Failure:
        return Failure(f"the daemon at {self._url} broke off the stream")

    def _failure(self, answer: httpx.Response) -> Failure:
        exit = _EXITS.get(answer.status_code, Exit.FAILED)
        try:
            detail = msgspec.json.decode(answer.content, type=ErrorBody).detail
        except msgspec.DecodeError:
            return Failure(f"{self._url} answers {answer.status_code}, but not as ATOLL does")
        hint = "another daemon's token? see --state-dir and ATOLL_TOKEN"
        return Failure(detail, exit, hint if exit is Exit.AUTH else "")

    def _read(self, answer: httpx.Response, kind: type[Answer]) -> Answer:
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except msgspec.DecodeError:
            raise Failure(f"what listens at {self._url} is not ATOLL's daemon") from None


def not_running(url: str) -> Failure:
    """Nobody listens there."""
    if agents_go_on():
        return left_alone(url)
    return Failure(f"no daemon answers at {url}", Exit.NOT_RUNNING, "start it with: atoll up -d")


def _path(name: str) -> str:
    if "/" in name or not name.strip("."):  # such a path would lead elsewhere
        raise Failure(f"there is no agent {name!r}", Exit.NO_SUCH_AGENT, "`atoll ps` lists them")
    return f"/api/v1/agents/{quote(name, safe='')}"


def _run_path(run_id: str) -> str:
    if _ID.fullmatch(run_id) is None or run_id in _NO_RUNS:
        raise Failure(f"`{run_id}` is no run's id", Exit.USAGE, "`atoll runs` lists them")
    return f"/run/{quote(run_id, safe='')}"


def _service_path(name: str) -> str:
    if _ID.fullmatch(name) is None or name in _NO_SERVICES:
        raise Failure("Service not found", Exit.NO_SUCH_AGENT, _THEIR_LIST)
    return f"{_SERVICES}/{quote(name, safe='')}"


def _events_path(name: str | None) -> str:
    return "/api/v1/events" if name is None else f"{_path(name)}/events"
