"""What the gateway answers without asking anybody: Ollama's root, and what no agent offers."""

from atoll.errors import ClientError, NotImplementedHere
from atoll.http.asgi import read_body, send_answer
from atoll.http.ollama.library import Cloud, Status
from atoll.http.ollama.lists import OLLAMA_VERSION
from atoll.http.ollama.wire import Version
from atoll_supervisor.gateway.exchange import Exchange
from atoll_supervisor.gateway.naming import EITHER


class _NoAccount(ClientError):
    """Ollama's answer to whoever is not signed in."""

    code = "unauthorized"
    status = 401


async def root(exchange: Exchange) -> None:
    """What Ollama says on its root; many clients probe it."""
    await exchange.say(200, b"Ollama is running")


async def version(exchange: Exchange) -> None:
    """The version of Ollama's API that is spoken."""
    await exchange.answer(Version(OLLAMA_VERSION))


async def status(exchange: Exchange) -> None:
    """There is no cloud behind this server."""
    await exchange.answer(Status(Cloud(disabled=True, source="atoll")))


async def push(exchange: Exchange) -> None:
    """Not offered."""
    if not (name := EITHER.name_in(await read_body(exchange.receive))):
        raise EITHER.fault(name)
    raise NotImplementedHere("push is not offered: agents are folders, share the folder")


async def create(exchange: Exchange) -> None:
    """Not offered."""
    EITHER.name_in(await read_body(exchange.receive))
    raise NotImplementedHere("create is not offered: an agent is a folder with an agent.toml")


async def no_blob(exchange: Exchange) -> None:
    """No blob is ever here; clients ask with HEAD."""
    await send_answer(exchange.send, 404, b"")


async def no_upload(_exchange: Exchange) -> None:
    """Not offered."""
    raise NotImplementedHere("blobs are not offered: an agent is a folder, not an upload")


async def no_account(_exchange: Exchange) -> None:
    """There is no account and no cloud behind this server."""
    raise _NoAccount("unauthorized: this server has no accounts")


async def experimental(_exchange: Exchange) -> None:
    """Not offered."""
    raise NotImplementedHere("what is experimental in Ollama is not offered by this server")
