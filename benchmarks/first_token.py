"""From a fresh clone to the first token of a real model, stage by stage.

Clones this checkout's HEAD into a temporary folder and runs `make up` there as
a new user would, with a home, a state directory and ports of its own. Then it
asks the `assistant` agent for a streamed answer by Ollama's /api/chat. What it
started is stopped, whatever happens.

    python benchmarks/first_token.py            warm: pip's cache of this user
    python benchmarks/first_token.py --cold     an empty pip cache
    python benchmarks/first_token.py --worktree the files as they are, committed or not

Exit 1 when the whole took longer than --limit (DESIGN section 13: 60 s warm,
120 s cold, on 2 cores).
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import msgspec

ROOT = Path(__file__).resolve().parent.parent
QUESTION = "Say hello in one short sentence."
PATIENCE = 600
"""Seconds after which a stage has failed."""


class Row(msgspec.Struct):
    """What is needed of a row of `GET /api/v1/agents`."""

    slug: str
    status: str
    url: str | None = None
    backend: str | None = None
    model: str | None = None


class Rows(msgspec.Struct):
    """The answer of `GET /api/v1/agents`."""

    agents: list[Row]


class Message(msgspec.Struct):
    """The part of an answer that one line carries."""

    content: str = ""


class Chunk(msgspec.Struct):
    """One line of Ollama's stream."""

    message: Message = msgspec.field(default_factory=Message)
    error: str = ""


class Failed(Exception):
    """The fleet did not come up; the text says at which stage."""


def main() -> int:
    """Measure once and print the table."""
    options = arguments()
    limit = options.limit or (120 if options.cold else 60)
    with TemporaryDirectory(prefix="atoll-first-token-") as folder:
        try:
            stages = measure(Path(folder), options)
        except Failed as error:
            print(f"{error}\n{tail(Path(folder, 'log'))}", file=sys.stderr)
            return 1
    total = table(stages, limit)
    return int(total > limit)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="From a fresh clone to the first token.")
    parser.add_argument("--cold", action="store_true", help="with an empty pip cache")
    parser.add_argument("--worktree", action="store_true", help="uncommitted files too")
    parser.add_argument("--limit", type=float, help="seconds that the whole may take")
    return parser.parse_args()


def measure(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Seconds of each stage, in order."""
    api, base, clone = free_port(), free_port(), folder / "atoll"
    environ = environment(folder, api, base, cold=options.cold)
    marks = {"begin": time.monotonic()}
    copy_worktree(clone) if options.worktree else git("clone", "--quiet", str(ROOT), str(clone))
    marks["clone"] = time.monotonic()
    conditions: dict[str, Callable[[], bool]] = {
        "venv and packages": (clone / ".venv/run.stamp").exists,
        "model pulled": lambda: any((folder / "home").rglob("*.gguf")),
        "daemon answers": lambda: answers(f"http://127.0.0.1:{api}/health"),
        "all agents ready": lambda: all_running(api, clone),
        "first token": lambda: first_token(api),
    }
    with running(clone, environ, folder / "log") as make:
        for stage, condition in conditions.items():
            wait(stage, condition, make)
            marks[stage] = time.monotonic()
    return {name: marks[name] - marks[last] for last, name in pairwise(marks)}


def environment(folder: Path, api: int, base: int, *, cold: bool) -> dict[str, str]:
    """A new user's environment; of ours only what reaching packages takes."""
    kept = {key: os.environ[key] for key in os.environ if key in ("PATH", "LANG", "TMPDIR")}
    pip = {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "SSL_"))}
    cache = folder / "cache" if cold else pip_cache()
    (folder / "home").mkdir()
    return kept | pip | {
        "HOME": str(folder / "home"),
        "PIP_CACHE_DIR": str(cache),
        "ATOLL_API_PORT": str(api),
        "ATOLL_BASE_PORT": str(base),
        "ATOLL_STATE_DIR": str(folder / "state"),
    }  # fmt: skip


def pip_cache() -> str:
    """Where this user's pip keeps what it downloaded."""
    command = [sys.executable, "-m", "pip", "cache", "dir"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def git(*words: str) -> str:
    """Run git in this checkout."""
    done = subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout


def copy_worktree(clone: Path) -> None:
    """What a commit of everything would hold."""
    for name in git("ls-files", "-co", "--exclude-standard", "-z").split("\0"):
        if name and (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name)


@contextmanager
def running(
    clone: Path, environ: dict[str, str], log: Path
) -> Generator[subprocess.Popen[bytes], None, None]:
    """Run `make up`; at the end Ctrl-C, and SIGKILL for what does not heed it."""
    with log.open("wb") as output:
        make = subprocess.Popen(
            ["make", "up"],
            cwd=clone,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield make
    finally:
        stop(make)


def stop(make: subprocess.Popen[bytes]) -> None:
    """End the process group of `make`."""
    for number, patience in ((signal.SIGINT, 60), (signal.SIGKILL, 10)):
        if make.poll() is None:
            os.killpg(make.pid, number)
            try:
                make.wait(patience)
            except subprocess.TimeoutExpired:
                print(f"make up did not heed {number.name}", file=sys.stderr)


def wait(stage: str, condition: Callable[[], bool], make: subprocess.Popen[bytes]) -> None:
    """Return when the condition holds; raise Failed when `make up` ends before or it takes ages."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if make.poll() is not None:
            raise Failed(f"make up ended with {make.returncode} before: {stage}")
        if time.monotonic() > end:
            raise Failed(f"not within {PATIENCE} s: {stage}")
        time.sleep(0.02)


def answers(url: str) -> bool:
    """Whether a GET of the URL is answered well."""
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def rows(api: int) -> list[Row]:
    """The fleet as the management API lists it."""
    answer = httpx.get(f"http://127.0.0.1:{api}/api/v1/agents", timeout=5, trust_env=False)
    return msgspec.json.decode(answer.content, type=Rows).agents


def all_running(api: int, clone: Path) -> bool:
    """Whether every agent of the example fleet serves."""
    wanted = {path.parent.name for path in (clone / "atoll_agents").glob("*/agent.toml")}
    return wanted <= {row.slug for row in rows(api) if row.status == "running"}


def first_token(api: int) -> bool:
    """Ask the assistant for a streamed answer and return at its first text."""
    assistant = next(row for row in rows(api) if row.slug == "assistant")
    if assistant.backend != "local":
        raise Failed(f"the assistant's back end is {assistant.backend}, not the embedded model")
    body = {"model": "assistant", "messages": [{"role": "user", "content": QUESTION}]}
    url = f"{assistant.url}/api/chat"
    with httpx.stream("POST", url, json=body, timeout=120, trust_env=False) as answer:
        return any(text_of(line) for line in answer.iter_lines())


def text_of(line: str) -> str:
    """The text of one line of Ollama's stream."""
    chunk = msgspec.json.decode(line, type=Chunk)
    if chunk.error:
        raise Failed(f"the assistant answered: {chunk.error}")
    return chunk.message.content


def tail(log: Path) -> str:
    """The last lines of what `make up` printed."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:]) if log.exists() else ""


def table(stages: dict[str, float], limit: float) -> float:
    """Print the stages and the sum, and return the sum."""
    total = sum(stages.values())
    for name, seconds in stages.items():
        print(f"{name:<20}{seconds:8.2f} s")
    print(f"{'whole':<20}{total:8.2f} s   (limit {limit:g} s)")
    return total


if __name__ == "__main__":
    sys.exit(main())
