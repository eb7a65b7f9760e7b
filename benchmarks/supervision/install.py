"""The peers, installed into a scratch folder by the ordinary clients of PyPI and npm."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

FROM_PYPI = ("supervisor==4.3.0", "circus==0.19.0", "uvicorn==0.54.0", "starlette==1.10.0")
FROM_NPM = ("pm2@7.0.4",)
PATIENCE = 600
"""Seconds for one command of pip or npm; LiteLLM takes a minute."""
OURS = ("atoll", "litestar", "uvicorn", "uvloop", "httptools", "msgspec")


class NotInstalled(Exception):
    """A peer is not there; has the words of pip or npm."""


class Tools(NamedTuple):
    """Where the peers are: a folder of Python programs, pm2 (None: there is no Node here)."""

    python: Path
    pm2: Path | None
    versions: dict[str, str]

    def program(self, name: str) -> str:
        """A program that a package of PyPI has installed."""
        return str(self.python.with_name(name))


def default_scratch() -> Path:
    """Kept between runs, so that the peers are installed once."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.environ.get("HOME")
    if not cache:
        return Path(tempfile.gettempdir(), f"atoll-bench-{os.getuid()}")
    hidden = "atoll-bench" if "XDG_CACHE_HOME" in os.environ else ".cache/atoll-bench"
    return Path(cache, hidden)


def install(scratch: Path) -> Tools:
    """Install what is not there yet; raises NotInstalled."""
    python = from_pypi(scratch / "venv", FROM_PYPI)
    pm2 = _install_pm2(scratch / "npm")
    return Tools(python, pm2, ours() | _peers(python, scratch / "npm"))


def from_pypi(venv: Path, packages: Sequence[str]) -> Path:
    """The interpreter of an environment made once with these packages; raises NotInstalled."""
    python, stamp = venv / "bin/python", venv / "installed"
    if not python.exists():
        venv.parent.mkdir(parents=True, exist_ok=True)
        _run(sys.executable, "-m", "venv", str(venv))
    if not stamp.exists() or stamp.read_text() != " ".join(packages):
        _run(str(python), "-m", "pip", "install", "-qq", *packages)
        stamp.write_text(" ".join(packages))
    return python


def ours() -> dict[str, str]:
    """The versions of what ATOLL and its agents run on."""
    python = {"python": sys.version.split()[0]}
    return python | {name: metadata.version(name) for name in OURS}


def _install_pm2(folder: Path) -> Path | None:
    pm2 = folder / "node_modules/.bin/pm2"
    npm = shutil.which("npm")
    if pm2.exists() or npm is None:
        return pm2 if pm2.exists() else None
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text('{"private": true}')
    _run(npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", *FROM_NPM)
    return pm2


def _peers(python: Path, npm: Path) -> dict[str, str]:
    """As installed, by each package's own metadata."""
    code = "import importlib.metadata as m, json; print(json.dumps({n: m.version(n) for n in %r}))"
    names = [word.partition("==")[0] for word in FROM_PYPI]
    found: dict[str, str] = {}
    for name, version in json.loads(_run(str(python), "-c", code % (names,))).items():
        found[name if name in ("supervisor", "circus") else f"{name} (bare child)"] = str(version)
    package = npm / "node_modules/pm2/package.json"
    if package.exists():
        found["pm2"] = str(json.loads(package.read_text())["version"])
    return found


def _run(*words: str) -> str:
    pipes = subprocess.PIPE
    try:
        done = subprocess.run(
            words, check=False, stdout=pipes, stderr=pipes, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(str(error)) from error
    if done.returncode:
        raise NotInstalled(f"{' '.join(words)}: exit {done.returncode}\n{done.stderr.strip()}")
    return done.stdout
