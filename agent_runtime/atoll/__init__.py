"""ATOLL's agent runtime: one folder with an `agent.toml`, served as if it were an Ollama server."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("atoll")
except PackageNotFoundError:  # run from a checkout with PYTHONPATH, not installed
    __version__ = "0.0.0"

__all__ = ["__version__"]
