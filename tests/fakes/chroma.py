"""Chroma's own server, from its package without those that only its Python client needs."""

from pathlib import Path

from tests.arch.tree import ROOT

PYTHON = ROOT / ".venv/clients/bin/python"
PACKAGE = "lib/python*/site-packages/chromadb_rust_bindings"
IS_THERE = any((ROOT / ".venv/clients").glob(PACKAGE))
WORDS = "import sys, chromadb_rust_bindings as it; it.cli(['chroma', *sys.argv[1:]])"
"""What the package's own command does."""


def install(folder: Path) -> None:
    """The program `chroma` in this folder, for a PATH to name."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "chroma"
    program.write_text(f'#!/bin/sh\nexec "{PYTHON}" -c "{WORDS}" "$@"\n')
    program.chmod(0o755)
