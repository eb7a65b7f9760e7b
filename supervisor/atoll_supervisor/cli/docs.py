"""`atoll docs install`: Swagger UI, Redoc and Scalar for the reference pages."""

import subprocess
import sys
from importlib import resources
from pathlib import Path

import click
from msgspec import Struct

from atoll_supervisor.cli.codes import Exit, Failure
from atoll_supervisor.cli.options import common, given
from atoll_supervisor.cli.terminal import out, out_json

_PIP = (
    *(sys.executable, "-m", "pip", "install", "--quiet", "--no-input"),
    *("--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"),
    *("--require-hashes", "--upgrade"),
)


class Installed(Struct, frozen=True):
    """What `--json` prints."""

    path: str
    programs: tuple[str, ...]


@click.group()
def docs() -> None:
    """The reference pages of every port."""


@docs.command("install")
@common
def install_docs() -> None:
    """Install Swagger UI, Redoc and Scalar for /docs, /redoc and /scalar."""
    # Late: few command lines need the reference.
    from atoll.http.reference.programs import PROGRAMS, folder, is_installed  # noqa: PLC0415

    place = folder()
    if not all(map(is_installed, PROGRAMS.values())):
        _install(place)
    names = tuple(f"{one.name} {one.version}" for one in PROGRAMS.values())
    if given().json:
        out_json(Installed(str(place), names))
    else:
        out(f"{', '.join(names)} are in {place}")


def _install(place: Path) -> None:
    """By pip, each wheel checked against its hash; raises Failure with pip's own words."""
    with resources.as_file(resources.files("atoll.http.reference") / "assets.txt") as pins:
        command = [*_PIP, "--target", str(place), "-r", str(pins)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own words
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        told = next((one for one in reversed(lines) if one.startswith("ERROR: ")), lines[-1])
        hint = "the pages work without them"
        raise Failure(f"pip: {told.removeprefix('ERROR: ')}", Exit.FAILED, hint)
