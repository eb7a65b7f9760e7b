"""What ATOLL needs is what DESIGN section 12 lists, and every version of it is pinned."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.arch.tree import ATOLL, PACKAGES, ROOT, sources

RUNTIME = {
    "litestar", "uvicorn", "uvloop", "httptools", "msgspec", "httpx", "psutil", "watchfiles",
    "tomli-w", "click", "rich", "websockets",
    "backports-zstd",  # Python 3.14 has it itself
}  # fmt: skip
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
RUN = PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"]
PIN = re.compile(
    r"^([a-z0-9-]+)==(\S+)(?: ; [^\\]+)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
    re.MULTILINE,
)


def pins(name: str) -> dict[str, str]:
    """Package and version of each line of a lock."""
    return {
        found[1]: found[2]
        for found in PIN.finditer((ROOT / f"requirements/{name}.txt").read_text())
    }


def test_the_runtime_dependencies_are_those_of_the_design() -> None:
    assert {Requirement(line).name for line in PROJECT["project"]["dependencies"]} == RUNTIME


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("run", RUN),
        ("local", EXTRAS["local"]),
        ("mcp", EXTRAS["mcp"]),
        ("store", EXTRAS["store"]),
        ("test", RUN + EXTRAS["mcp"] + EXTRAS["test"]),
    ],
)
def test_every_requirement_is_pinned_within_its_range(lock: str, wanted: list[str]) -> None:
    """When this fails after a change of pyproject.toml, `make lock` mends it."""
    pinned = pins(lock)
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), (
            requirement
        )


@pytest.mark.parametrize("lock", ["run", "local", "mcp", "store", "test"])
def test_a_lock_holds_comments_and_hashed_pins_only(lock: str) -> None:
    """No index, no address, no line without a hash: pip would take any file for it."""
    text = (ROOT / f"requirements/{lock}.txt").read_text()
    rest = PIN.sub("", text)
    assert [line for line in rest.splitlines() if not line.startswith("#")] == []


def test_one_package_has_one_version_in_all_locks() -> None:
    whole = pins("test")
    assert pins("run").items() <= whole.items()
    assert pins("mcp").items() <= whole.items()


def closure(name: str) -> set[str]:
    """All packages that an installation without extras brings, by their own metadata."""
    seen: set[str] = set()
    todo = [name]
    while todo:
        current = canonicalize_name(todo.pop())
        if current in seen:
            continue
        seen.add(current)
        wanted = map(Requirement, metadata.requires(current) or [])
        todo += [one.name for one in wanted if not one.marker or one.marker.evaluate({"extra": ""})]
    return seen


def test_pydantic_is_not_installed_with_atoll() -> None:
    """It costs every agent 8 MiB (DESIGN section 12)."""
    found = closure("atoll")
    assert {"litestar", "msgspec", "h11"} <= found
    assert {"pydantic", "pydantic-core"} & found == set()


def test_the_lock_of_make_up_knows_no_pydantic_either() -> None:
    assert {"pydantic", "pydantic-core"} & pins("run").keys() == set()


@pytest.mark.parametrize(
    "module", ["atoll.server", "atoll_supervisor.daemon", "atoll_supervisor.cli"]
)
@pytest.mark.parametrize(
    "heavy",
    ["pydantic", "rich", "xllamacpp", "numpy", "mcp", "httpx2", "websockets", "backports.zstd"],
)
def test_heavy_packages_are_not_imported_at_start(module: str, heavy: str) -> None:
    """rich is for the command line alone, websockets for agents that are spoken to so, both lazy;
    the others are not for agents at all."""
    code = f"import sys, {module}; print({heavy!r} in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


def test_atoll_imports_where_pydantic_is_not_installed() -> None:
    code = (
        "import sys; sys.modules['pydantic'] = None; import atoll.server, atoll_supervisor.daemon"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_mcp_sdk_is_used_by_its_own_package_and_that_by_one_door() -> None:
    """Only an agent that names a server pays for it (DESIGN section 12)."""
    home, sdk = ATOLL / "adapters/mcp", {"mcp", "mcp_types", "httpx2", "pydantic"}
    users, doors = set(), set()
    for source in sources(*PACKAGES):
        modules = {
            name
            for node in ast.walk(source.tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in imported(node)
        }
        if {name.split(".")[0] for name in modules} & sdk:
            users.add(source.path.parent)
        if source.path.parent != home:
            doors |= {name for name in modules if name.startswith("atoll.adapters.mcp")}
    assert users == {home}
    assert doors == {"atoll.adapters.mcp.extra", "atoll.adapters.mcp.opening"}


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names]


def test_an_agent_without_servers_is_opened_without_the_sdk(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text('[agent]\nname = "X"\n[llm]\nprovider = "demo"\n')
    code = (
        "import asyncio, sys; from pathlib import Path; import atoll.server;"
        "from atoll.config.load import load_manifest; from atoll.config.places import places_of;"
        "from atoll.loop.opening import open_agent; env = {'HOME': sys.argv[1]};"
        "loaded = load_manifest(Path(sys.argv[1], 'agent.toml'), env);"
        "places = places_of(env, 0, Path(sys.argv[1], 'state'));"
        "agent = asyncio.run(open_agent(loaded, places, env, print));"
        "print({'mcp', 'mcp_types', 'httpx2'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.endswith("set()\n"), done.stdout + done.stderr


def test_the_install_script_takes_hashed_wheels_only() -> None:
    text = Path(ROOT, "scripts/setup").read_text()
    lines = [line for line in text.splitlines() if "pip install" in line]
    assert all(
        "--require-hashes --only-binary :all:" in line or "--no-deps" in line for line in lines
    )
    assert len(lines) == 2
