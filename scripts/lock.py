#!/usr/bin/env python3
"""Pin every requirement with its hashes: writes the files of requirements/.

One universal resolution, newest versions, for Python 3.11 and up on every
platform: test.txt is resolved first and constrains the others, so that a
package has one version in all of them. Run it as `make lock`; `uv` of the test
requirements does the work. docs/decisions/0001-lock-without-hosts.md says why
there is no uv.lock.
"""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
UV = Path(sys.executable).with_name("uv")
PURPOSE = {
    "test": "What `make test` installs; local.txt comes on top.",
    "run": "What `make up` installs, the build back end included; local.txt comes on top.",
    "local": "The engine of the embedded model; left out where it has no wheel.",
    "mcp": "What agents with MCP servers need; `scripts/setup mcp` adds it to .venv.",
    "clients": "Clients that tests run as they are, in an environment of their own.",
    "store": "A vector store that tests run as it is: its server alone, beside the clients.",
}
OPTIONS = [
    "--universal",
    "--python-version=3.11",
    "--generate-hashes",
    "--no-header",
    "--no-annotate",
    "--no-config",
    "--quiet",
]


def wanted() -> dict[str, list[str]]:
    """The direct requirements of pyproject.toml, by file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    run = project["project"]["dependencies"] + project["build-system"]["requires"]
    return {
        "test": [*run, *extras["mcp"], *extras["test"]],
        "run": run,
        "local": extras["local"],
        "mcp": extras["mcp"],
        "clients": extras["clients"],
        "store": extras["store"],
    }


def pinned(requirements: list[str], more: list[str]) -> str:
    """Resolve; no index address is printed, and none of this machine's settings are used."""
    done = subprocess.run(
        [UV, "pip", "compile", "-", *OPTIONS, *more],
        input="\n".join(requirements),
        text=True,
        capture_output=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("UV_")},
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr.strip())
    return done.stdout


def main() -> None:
    """Write the files; what clients want must not hold the others back."""
    constraints: list[str] = []
    for name, requirements in wanted().items():
        path = FOLDER / f"{name}.txt"
        more = {"clients": [], "store": ["--no-deps"]}.get(name, constraints)
        text = pinned(requirements, more)
        path.write_text(f"# {PURPOSE[name]}\n# Made by `make lock`; do not edit.\n{text}")
        constraints = ["--constraint", str(FOLDER / "test.txt")]
        packages = sum(line[0].isalnum() for line in text.splitlines())
        print(f"{path.relative_to(ROOT)}: {packages} packages")


if __name__ == "__main__":
    main()
