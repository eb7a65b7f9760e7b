"""The `local` back end: the model host, spoken to over its unix socket."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import msgspec

from atoll.adapters.chat_template import abilities
from atoll.adapters.gguf import read_gguf
from atoll.adapters.host import POLL, Host, host_socket
from atoll.adapters.openai import OpenAIModel
from atoll.adapters.peer import Peer, UpstreamStatus
from atoll.adapters.slots import slots_of
from atoll.adapters.toolless import without_tool_roles
from atoll.errors import NoEmbeddings, UpstreamError, UpstreamGarbage, UpstreamRefused
from atoll.ports import Chunk, Clock, Done, Embedded, EmbedRequest, ModelInfo, ModelRequest

__all__ = ["LocalModel", "host_peer", "host_socket"]

REPEAT_PENALTY = 1.05
"""Where nobody says otherwise: without one, small models fall into saying the same for ever."""
LOADING = 503
"""What llama.cpp answers while it reads the weights."""


def host_peer(socket: Path, model: str, timeout: float) -> Peer:
    """The Peer of a model host."""
    return Peer(
        name=f"the model host of {model}",
        url="http://model-host/v1",
        socket=socket,
        remedy="`atoll ps` and `atoll logs` say why",
        timeout=timeout,
    )


class LocalModel:
    """The Model port over a model host; waiting for the host counts as loading."""

    def __init__(self, peer: Peer, gguf: Path, model: str, host: Host, clock: Clock) -> None:
        self._wire = OpenAIModel(peer, model, clock)
        self._timeout = peer.timeout
        self._gguf = gguf
        self._model = model
        self._host = host
        self._clock = clock
        self._info: ModelInfo | None = None

    async def describe(self) -> ModelInfo:
        """Read the GGUF's own header: no host needs to run. Raises ConfigError when it is gone."""
        if self._info is None:
            self._info = await asyncio.to_thread(_info, self._gguf, self._model)
        return self._info

    async def ping(self) -> None:
        """Ask the host; an agent that runs alone starts its own first."""
        await self._host.prepare()
        await self._wire.ping()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """Generate; a host that is not there is waited for, at most the request's timeout."""
        info = await self.describe()
        request = _suited(request, info)
        patience = _Patience(time.monotonic() + self._timeout)
        while True:
            began = self._clock.monotonic_ns()
            try:
                async with aclosing(self._chunks(request, patience)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                return
            except UpstreamError as error:
                if not patience.allows(error):
                    raise
            await self._host.ensure()
            await asyncio.sleep(POLL)
            patience.waited += self._clock.monotonic_ns() - began

    async def embed(self, request: EmbedRequest) -> Embedded:  # noqa: ARG002  the port has it
        """The model host runs its engine without embeddings."""
        raise NoEmbeddings

    async def close(self) -> None:
        """Close the connections, and stop the host if it is ours."""
        await self._wire.close()
        await self._host.close()

    async def _chunks(
        self, request: ModelRequest, patience: "_Patience"
    ) -> AsyncGenerator[Chunk, None]:
        async with aclosing(self._wire.stream(request)) as chunks:
            async for chunk in chunks:
                patience.begun = True
                yield _loaded(chunk, patience.waited)


class _Patience:
    """Whether one request may be tried again: never after its first chunk."""

    def __init__(self, end: float) -> None:
        self.begun = False
        self.waited = 0
        self._end = end
        self._broken = 0

    def allows(self, error: UpstreamError) -> bool:
        """A host that is absent or loading is waited for; one that dies under us, once more."""
        if self.begun or time.monotonic() >= self._end:
            return False
        if isinstance(error, UpstreamGarbage):
            self._broken += 1
            return self._broken == 1
        loading = isinstance(error, UpstreamStatus) and error.answered == LOADING
        return loading or isinstance(error, UpstreamRefused)


def _loaded(chunk: Chunk, waited: int) -> Chunk:
    if not isinstance(chunk, Done):
        return chunk
    usage = msgspec.structs.replace(chunk.usage, load_ns=chunk.usage.load_ns + waited)
    return Done(chunk.reason, usage)


def _suited(request: ModelRequest, info: ModelInfo) -> ModelRequest:
    """The request as a small model with this template can take it."""
    options, messages = request.options, request.messages
    if options.repeat_penalty is None:
        options = msgspec.structs.replace(options, repeat_penalty=REPEAT_PENALTY)
    if "tools" not in info.capabilities:
        messages = without_tool_roles(messages)
    return msgspec.structs.replace(request, options=options, messages=messages)


def _info(gguf: Path, model: str) -> ModelInfo:
    file = read_gguf(gguf)
    return ModelInfo(
        backend="local",
        model=model,
        capabilities=abilities(file.chat_template),
        architecture=file.architecture,
        context_length=slots_of(file).context,
        embedding_length=file.embedding_length,
        parameter_size=file.parameter_size,
        quantization=file.quantization,
        size=file.size,
    )
