"""Ollama's routes that manage models. Agents are folders, so most are refused, honestly."""

from litestar import Request, Response, delete, get, post
from litestar.datastructures import State
from msgspec import Struct
from msgspec.json import Decoder

from atoll.errors import ClientError, NotAllowed, NotFound, NotImplementedHere
from atoll.http.access import agent_of
from atoll.http.checks import check_model, required, valid_name
from atoll.http.decoding import decode
from atoll.http.ollama.projection import encode
from atoll.http.ollama.requests import name_decoder

AnyRequest = Request[object, object, State]

_FOLDERS = "agents are folders: {} the folder of this one on the machine that serves it"


class PullRequest(Struct):
    """`POST /api/pull`."""

    model: str | None = None
    name: str | None = None
    stream: bool | None = None


class CopyRequest(Struct):
    """`POST /api/copy`."""

    source: str | None = None
    destination: str | None = None


class Progress(Struct):
    """One line of a pull."""

    status: str


class Cloud(Struct):
    """Whether Ollama's cloud is used; never here."""

    disabled: bool
    source: str


class Status(Struct):
    """`GET /api/status`."""

    cloud: Cloud


_pull_decoder = Decoder(PullRequest)
_copy_decoder = Decoder(CopyRequest)


@post("/api/pull", status_code=200)
async def pull(request: AnyRequest) -> Response[bytes]:
    """Nothing is to be fetched for an agent that exists, so its pull succeeds at once."""
    asked = decode(_pull_decoder, await request.body())
    check_model(agent_of(request.app), required(asked.model or asked.name))
    # One line of NDJSON is one JSON object, so both forms are the same bytes.
    media_type = "application/json" if asked.stream is False else "application/x-ndjson"
    return Response(encode(Progress("success")) + b"\n", media_type=media_type)


@delete("/api/delete")
async def remove(request: AnyRequest) -> None:
    """Refused: an agent is removed by removing its folder."""
    asked = decode(name_decoder, await request.body())
    name = asked.model or asked.name or ""
    agent = agent_of(request.app)
    if agent.answers_to(name):
        raise NotAllowed(_FOLDERS.format("delete"))
    if not valid_name(name):
        raise ClientError(f'name "{name}" is invalid')
    raise NotFound(f"model '{name}' not found")


@post("/api/copy")
async def copy(request: AnyRequest) -> None:
    """Refused: an agent is copied by copying its folder."""
    source = decode(_copy_decoder, await request.body()).source or ""
    if agent_of(request.app).answers_to(source):
        raise NotAllowed(_FOLDERS.format("copy"))
    if not valid_name(source):
        raise ClientError(f'source "{source}" is invalid')
    raise NotFound(f'model "{source}" not found')


@post("/api/push")
async def push(request: AnyRequest) -> None:
    """Not offered."""
    asked = decode(name_decoder, await request.body())
    required(asked.model or asked.name)
    raise NotImplementedHere("push is not offered: agents are folders, share the folder")


@post("/api/create")
async def create(request: AnyRequest) -> None:
    """Not offered."""
    decode(name_decoder, await request.body())
    raise NotImplementedHere("create is not offered: an agent is a folder with an agent.toml")


@get("/api/status")
async def status() -> Status:
    """There is no cloud behind this server."""
    return Status(Cloud(disabled=True, source="atoll"))


LIBRARY = (pull, remove, copy, push, create, status)
