"""The pages that Swagger UI, Redoc and Scalar are loaded by, and the files they load."""

import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from atoll.http.reference.programs import ASSETS, PROGRAMS, folder, is_installed
from tests.fakes.examples import ROOT, talkative
from tests.fakes.served import daemon, make_fleet
from tests.fakes.serving import serving

pytestmark = pytest.mark.anyio
PINS = ROOT / "agent_runtime/atoll/http/reference/assets.txt"


def install(prefix: Path) -> None:
    """Files as the wheels' are laid out, with a few words in place of programs."""
    place = prefix / "share/atoll/docs"
    for program in PROGRAMS.values():
        (place / f"{program.wheel}-{program.version}.dist-info").mkdir(parents=True)
        for name, asset in program.files.items():
            file = place / program.wheel / asset.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b" ".join((name.encode(), *asset.instead)))
            (file.parent / "secret.js").write_text("not a file that is named")


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "env"))
    install(tmp_path / "env")
    return tmp_path / "env"


@pytest.fixture(params=["agent", "daemon"])
async def http(
    request: pytest.FixtureRequest, prefix: Path, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an agent or of a daemon where the programs are installed."""
    if request.param == "agent":
        with serving(talkative(), tmp_path) as served:
            async with httpx.AsyncClient(base_url=served.url) as client:
                yield client
    else:
        async with (
            daemon(make_fleet(tmp_path)) as running,
            httpx.AsyncClient(base_url=running.url) as client,
        ):
            yield client


@pytest.mark.parametrize("path", PROGRAMS)
async def test_a_page_names_no_address_but_files_that_are_there(
    http: httpx.AsyncClient, path: str
) -> None:
    answer = await http.get(path)
    assert answer.headers["content-type"].startswith("text/html")
    assert PROGRAMS[path].name in answer.text
    assert "://" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self' 'sha256-" in policy
    for what, *where in (one.split() for one in policy.split("; ")):
        own = {"'none'", "'self'", "data:", "blob:"}
        inline = {"'unsafe-inline'"} if what == "style-src" else set()
        others = set(where) - own - inline
        assert all(one.startswith("'sha256-") for one in others), others
    assert (await http.get(f"{path}/")).text == answer.text
    named = re.findall(r'(?:src|href)="(/docs/assets/[^"]+)"', answer.text)
    assert len(named) == len(PROGRAMS[path].files)
    for file in named:
        found = await http.get(file)
        assert found.status_code == 200
        assert found.text.startswith(file.rpartition("/")[2])
        assert "://" not in found.text, "what is asked of strangers is left out"


async def test_a_file_is_kept_for_ever_and_asked_for_again_by_its_tag(
    http: httpx.AsyncClient,
) -> None:
    path = PROGRAMS["/docs"].place + "swagger-ui.css"
    first = await http.get(path)
    assert first.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in first.headers["cache-control"]
    assert first.headers["x-content-type-options"] == "nosniff"
    again = await http.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await http.get(path, headers={"If-None-Match": '"another"'})
    assert other.status_code == 200
    head = await http.head(path)
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "secret.js",
        "../swagger-ui.js",
        "..%2f..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/secret.js",
        "/etc/passwd",
        "templates/swagger/js/swagger-ui-bundle.js",
        "swagger-ui.js%00",
        "swagger-ui.js\\..\\secret.js",
    ],
)
async def test_nothing_else_is_ever_read(http: httpx.AsyncClient, name: str) -> None:
    for place in (ASSETS, PROGRAMS["/docs"].place):
        answer = await http.get(place + name)
        assert answer.status_code == 404, answer.text
        assert "not a file" not in answer.text


async def test_another_version_is_not_taken_for_this_one(
    http: httpx.AsyncClient, prefix: Path
) -> None:
    program = PROGRAMS["/redoc"]
    about = folder() / f"{program.wheel}-{program.version}.dist-info"
    about.rename(about.with_name(f"{program.wheel}-0.0.1.dist-info"))
    assert not is_installed(program)
    page = (await http.get("/redoc")).text
    assert "<script" not in page
    assert "Redoc is not installed: <code>atoll docs install</code> installs it." in page
    assert (await http.get(program.place + "redoc.js")).status_code == 404


async def test_the_versions_are_those_that_are_pinned() -> None:
    pinned = dict(re.findall(r"^([\w-]+)==([\w.]+)", PINS.read_text(), re.MULTILINE))
    wanted = {one.wheel.replace("_", "-"): one.version for one in PROGRAMS.values()}
    assert pinned == wanted
