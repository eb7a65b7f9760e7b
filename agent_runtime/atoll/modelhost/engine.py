"""xllamacpp, which is llama.cpp's own HTTP server in this process, set up safely.

With its defaults any web page may use the engine and read other clients' work
(models.md 4.2), its prompt cache may take 8 GiB, and it leaves the user's
other programs no core. All of that is set here and nowhere else.
"""

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from atoll.adapters.gguf import Gguf
from atoll.adapters.slots import slots_of
from atoll.errors import ConfigError, Problem

CACHE_RAM_MIB = 256
HTTP_THREADS = 64
"""A thread serves one connection from its beginning to its end, waiting for a slot included."""
ERRORS_ONLY = 1


class ModelParams(Protocol):
    """Where the weights are."""

    path: str


class CpuParams(Protocol):
    """Threads of one kind of work."""

    n_threads: int


class Params(Protocol):
    """The part of xllamacpp.CommonParams that we set."""

    hostnames: list[str]
    port: int
    api_keys: list[str]
    model_alias: list[str]
    cors_origins: str
    ui: bool
    offline: bool
    endpoint_slots: bool
    endpoint_metrics: bool
    n_ctx: int
    n_parallel: int
    n_threads_http: int
    cache_ram_mib: int
    verbosity: int

    @property
    def model(self) -> ModelParams:
        """The weights."""
        ...

    @property
    def cpuparams(self) -> CpuParams:
        """Threads of generation."""
        ...

    @property
    def cpuparams_batch(self) -> CpuParams:
        """Threads of reading a prompt."""
        ...


class Engine(Struct, frozen=True):
    """The two names of xllamacpp that matter; the server runs until it is deleted."""

    new_params: Callable[[], Params]
    start: Callable[[Params], object]


class Door(Struct, frozen=True):
    """Where it is served over TCP; only whoever shows the `key` may use it."""

    host: str
    port: int
    key: str


class Serving(Struct, frozen=True):
    """What is served, under which name, where: a unix socket's path, or a door."""

    gguf: Path
    facts: Gguf
    name: str
    place: Path | Door


def load_engine() -> Engine:
    """Import the engine; raises ConfigError that names the extra where it is missing."""
    try:
        module = importlib.import_module("xllamacpp")
    except ImportError:
        raise ConfigError(
            Problem(
                file="xllamacpp",
                message="is not installed",
                hint="provider local needs the extra: pip install 'atoll[local]'",
            )
        ) from None
    return Engine(module.CommonParams, module.Server)


def params_for(engine: Engine, serving: Serving) -> Params:
    """The engine's settings for one model."""
    params, slots = engine.new_params(), slots_of(serving.facts)
    params.model.path = str(serving.gguf)
    _place(params, serving.place)
    # A list: a plain string would be taken letter by letter (models.md 4.1).
    params.model_alias = [serving.name]
    params.n_ctx = slots.count * slots.context
    params.n_parallel = slots.count
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads()
    params.n_threads_http = HTTP_THREADS
    params.cache_ram_mib = CACHE_RAM_MIB
    params.verbosity = ERRORS_ONLY
    return closed(params)


def _place(params: Params, place: Path | Door) -> None:
    if isinstance(place, Path):
        params.hostnames = [str(place)]
    else:
        params.hostnames, params.port, params.api_keys = [place.host], place.port, [place.key]


def closed(params: Params) -> Params:
    """Switch off everything that is for browsers, strangers or the network."""
    params.cors_origins = ""
    params.ui = False
    params.endpoint_slots = False
    params.endpoint_metrics = False
    params.offline = True
    return params


def threads() -> int:
    """One core is left to everybody else; two threads on two busy cores are 4 times slower."""
    return max(1, len(os.sched_getaffinity(0)) - 1)
