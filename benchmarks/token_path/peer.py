"""LiteLLM's proxy, the peer: installed from PyPI into the scratch folder, one worker.

It is given a model of the OpenAI dialect, which it passes on with the least
translation. It takes no request without a master key.
"""

import os
import secrets
from pathlib import Path
from typing import NamedTuple

from benchmarks.supervision.install import from_pypi

VERSION = "1.106.2"
PACKAGES = (f"litellm[proxy]=={VERSION}",)
START = 120.0
"""Seconds it may take to start; it needs about ten."""
CONFIG = """\
model_list:
  - model_name: fast
    litellm_params:
      model: openai/fast
      api_base: http://127.0.0.1:{port}/v1
      api_key: none
"""


class LiteLLM(NamedTuple):
    """How it is started, and the key that it wants to see."""

    command: list[str]
    environ: dict[str, str]
    key: str


def litellm(scratch: Path, folder: Path, model_port: int, port: int) -> LiteLLM:
    """Install it if need be; raises NotInstalled."""
    python = from_pypi(scratch / "litellm", PACKAGES)
    config = folder / "litellm.yaml"
    config.write_text(CONFIG.format(port=model_port))
    key = f"sk-{secrets.token_urlsafe(32)}"
    # Its list of prices would come from the network, its log is not what is measured.
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    command = [str(python.with_name("litellm")), "--config", str(config), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    return LiteLLM(command, {**os.environ, **quiet, "LITELLM_MASTER_KEY": key}, key)
