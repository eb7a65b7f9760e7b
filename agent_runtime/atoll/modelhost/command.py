"""Starts the engine, says when it serves, and ends at SIGTERM."""

import argparse
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from atoll.adapters.channel import Channel, KeeperGone, NoChannel, open_channel
from atoll.adapters.gguf import read_gguf
from atoll.adapters.parent import die_with_parent
from atoll.adapters.private import private_directory
from atoll.adapters.pulled import find_pulled
from atoll.config.places import places_of
from atoll.errors import ConfigError, Problem
from atoll.modelhost.engine import Door, Engine, Serving, load_engine, params_for

KEY = "LLAMA_API_KEY"
"""The variable in which llama.cpp's own server takes its key, too."""
CANNOT_LOAD = 5
STOPPING = {signal.SIGTERM, signal.SIGINT}


class Wish(Struct, frozen=True):
    """The command line."""

    model: str
    place: Path | Door
    name: str


def main() -> int:
    """Serve until SIGTERM; 0 when stopped, 5 when the model cannot be served."""
    if "ATOLL_SUPERVISED" in os.environ:
        die_with_parent()
    # Blocked before the engine makes its threads, so that `sigwait` alone gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    wish = _wish(sys.argv[1:])
    try:
        channel = open_channel(os.environ)
        engine = load_engine()
        serving = _serving(wish, os.environ)
        if isinstance(wish.place, Path):
            claim(wish.place)
    except ConfigError as error:
        return _refuse(wish, error.problems[0])
    except NoChannel as error:
        return _told(str(error))
    return _serve_until_stopped(engine, serving, channel)


def _wish(arguments: Sequence[str]) -> Wish:
    parser = argparse.ArgumentParser(prog="python -m atoll.modelhost")
    parser.add_argument("--model", required=True, help="a GGUF file, or the name of a pulled model")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--socket", type=Path, help="the unix socket to serve on")
    place.add_argument("--port", type=int, help=f"the port to serve on, to who shows ${KEY}")
    parser.add_argument("--host", default="127.0.0.1", help="the address of that port")
    parser.add_argument("--name", default="", help="what clients call the model")
    given = parser.parse_args(arguments)
    if given.socket is not None:
        return Wish(model=given.model, place=given.socket.absolute(), name=given.name)
    if not os.environ.get(KEY):
        parser.error(f"a port is open to every program of this machine: set {KEY} to a secret")
    return Wish(given.model, Door(given.host, given.port, os.environ[KEY]), given.name)


def _serving(wish: Wish, environ: Mapping[str, str]) -> Serving:
    gguf = find_pulled(places_of(environ, os.getuid()), wish.model)
    path = gguf or Path(wish.model).expanduser()
    name = wish.name or (wish.model if gguf else path.stem)
    return Serving(path, read_gguf(path), name, wish.place)


def claim(path: Path) -> None:
    """Make room for our socket; raises ConfigError when another host serves there."""
    private_directory(path.parent)
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
            why = "another model host already serves there"
        except FileNotFoundError:
            return
        except OSError:
            why = "" if path.is_socket() else "there is a file that is no socket"
    if why:
        raise ConfigError(Problem(file=str(path), message=why))
    path.unlink(missing_ok=True)


def _refuse(wish: Wish, problem: Problem) -> int:
    tail = f"; {problem.hint}" if problem.hint else ""
    where = "" if problem.file == wish.model else f"{problem.file}: "
    return _told(f"cannot load {wish.model}: {where}{problem.message}{tail}")


def _told(line: str) -> int:
    _say(line)
    return CANNOT_LOAD


def _say(line: str) -> None:
    """One line of the log: the engine's own words are switched off, they are thousands."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _serve_until_stopped(engine: Engine, serving: Serving, channel: Channel) -> int:
    """Load in a thread, wait here: a signal ends the process even in the middle of loading."""
    os.umask(0o077)
    threading.Thread(target=_serve, args=(engine, serving, channel), daemon=True).start()
    signal.sigwait(STOPPING)
    if isinstance(serving.place, Path):
        serving.place.unlink(missing_ok=True)
    with suppress(KeeperGone):
        channel.stopping()
    return 0


def _serve(engine: Engine, serving: Serving, channel: Channel) -> None:
    """Load, say so, and hold the engine.

    There are no beats: this thread and the main one live on while every thread
    of the engine hangs, so that only a question to its socket proves anything.
    """
    begun = time.monotonic()
    _say(f"loading {serving.gguf}")
    try:
        server = engine.start(params_for(engine, serving))
    except RuntimeError as error:
        os._exit(_told(f"cannot load {serving.gguf}: {error}"))
    took = time.monotonic() - begun
    _say(f"{serving.name} is served on {_where(serving.place)}, loaded in {took:.1f} s")
    try:
        channel.ready()
    except KeeperGone:
        os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait()
    del server


def _where(place: Path | Door) -> str:
    return str(place) if isinstance(place, Path) else f"{place.host}:{place.port}"
