"""What may be in a file of the repository, whatever kind of file it is."""

import re
from pathlib import Path

import pytest

from tests.arch.tree import ROOT, repository_files

MAX_BYTES = 1_000_000

# In pieces, so that this file does not hold what it looks for.
HOSTS = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "npm" + "js.com",
    "deb.deb" + "ian.org",
    "security.deb" + "ian.org",
    "crates" + ".io",
    "go" + "lang.org",
    "hugging" + "face.co",
    "registry.ol" + "lama.ai",
]
FOLDERS = ["work", "root", "home/[a-z]+"]
FORBIDDEN = re.compile(
    "|".join([*map(re.escape, HOSTS), *(rf"(?<![\w.$~}}/-])/{folder}/" for folder in FOLDERS)])
)


def found_in(text: str) -> list[str]:
    """Each forbidden address or path in the text."""
    return [match[0] for match in FORBIDDEN.finditer(text)]


def test_no_file_names_a_package_registry_or_a_path_of_the_build_machine() -> None:
    hits = {
        path.relative_to(ROOT).as_posix(): found
        for path in repository_files()
        if (found := found_in(path.read_bytes().decode("utf-8", "replace")))
    }
    assert hits == {}


@pytest.mark.parametrize(
    "text",
    [
        f"see https://{HOSTS[0]}/simple",
        "/" + "root/.cache",
        "cd /" + "work/main",
        "(/" + "home/anna/x)",
    ],
)
def test_a_host_or_path_is_found(text: str) -> None:
    assert len(found_in(text)) == 1


@pytest.mark.parametrize(
    "text", ["/api/v1/work/list", "~/work/x", "a/root/b", "the home/folder", "$HOME/work/"]
)
def test_other_paths_are_not_found(text: str) -> None:
    assert found_in(text) == []


def test_no_file_is_large() -> None:
    large = [str(path) for path in repository_files() if path.stat().st_size > MAX_BYTES]
    assert large == []


def test_the_root_holds_only_what_is_known() -> None:
    """Stray files at the root are how a repository begins to rot."""
    known = {
        ".ci", ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "agent_runtime",
        "atoll_agents", "benchmarks", "conformance", "docs", "pyproject.toml", "recipes",
        "requirements", "scripts", "supervisor", "systemd", "tests",
    }  # fmt: skip
    found = {path.relative_to(ROOT).parts[0] for path in repository_files()}
    assert found - known == set()


@pytest.mark.parametrize(
    "name",
    [
        "Makefile",
        "scripts/setup",
        "scripts/model",
        "scripts/check",
        "scripts/system-packages",
        ".ci/run",
    ],
)
def test_the_scripts_are_there_and_can_be_run(name: str) -> None:
    path = Path(ROOT, name)
    assert path.is_file()
    assert name == "Makefile" or path.stat().st_mode & 0o111
