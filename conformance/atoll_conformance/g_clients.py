"""Group G: unmodified clients, each by a script of `clients/` that does what its users do.

They run where they are installed: `--clients` names an environment with `bin/python` and,
for those of npm, `node_modules`. What is not installed there does not apply.
"""

import asyncio
import os
import shutil
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from msgspec import Struct

from atoll_conformance.rows import Row
from atoll_conformance.server import Server
from atoll_conformance.verdict import Skipped, Wrong

SCRIPTS = Path(__file__).with_name("clients")
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "ANONYMIZED_TELEMETRY": "false",
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""Some look for something on the network when they are imported, unless they are told not to."""
MISSING = ("ModuleNotFoundError", "ERR_MODULE_NOT_FOUND")


class Client(Struct, frozen=True):
    """A client library, its script, and what has to work with it."""

    title: str
    script: str
    install: str
    expected: str


CLIENTS = (
    Client(
        "ollama-python",
        "g01_ollama_python.py",
        "pip install ollama",
        "sync and async: everything, and errors",
    ),
    Client(
        "ollama-js",
        "g02_ollama_js.mjs",
        "npm install ollama",
        "the same set; delete and pull by name",
    ),
    Client(
        "langchain-ollama",
        "g03_langchain_ollama.py",
        "pip install langchain-ollama",
        "invoke, tools, embeddings",
    ),
    Client(
        "@langchain/ollama",
        "g04_langchain_js.mjs",
        "npm install @langchain/ollama",
        "checkOrPullModel, invoke",
    ),
    Client(
        "llama-index",
        "g05_llama_index.py",
        "pip install llama-index-llms-ollama",
        "metadata, chat, complete",
    ),
    Client(
        "litellm ollama_chat/",
        "g06_litellm_chat.py",
        "pip install litellm",
        "completion, stream, tools",
    ),
    Client(
        "litellm ollama/",
        "g07_litellm_generate.py",
        "pip install litellm",
        "completion, stream, tools in the prompt",
    ),
    Client(
        "openai-python",
        "g08_openai_python.py",
        "pip install openai",
        "chat, tools, embeddings, responses",
    ),
    Client(
        "pydantic-ai",
        "g09_pydantic_ai.py",
        "pip install pydantic-ai-slim[openai]",
        "plain, structured output",
    ),
    Client(
        "llm and llm-ollama",
        "g10_llm_ollama.py",
        "pip install llm llm-ollama",
        "list, prompt, tools, schema",
    ),
    Client(
        "ollama-ai-provider-v2",
        "g11_ai_sdk.mjs",
        "npm install ollama-ai-provider-v2 ai",
        "think:false",
    ),
    Client(
        "anthropic-python",
        "g12_anthropic_python.py",
        "pip install anthropic",
        "messages, stream, error",
    ),
)


async def _works(client: Client, server: Server) -> None:
    if server.clients is None:
        raise Skipped(f"name an environment that has it with --clients: {client.install}")
    with TemporaryDirectory(prefix="conformance-") as folder:
        command = _command(client, server.clients.absolute(), Path(folder))
        code, said = await _ran([*command, await _told(server)], Path(folder))
    if code and any(word in said for word in MISSING):
        raise Skipped(f"it is not installed in {server.clients}: {client.install}")
    if code:
        lines = [line for line in said.splitlines() if line.strip()]
        raise Wrong(client.expected, " ".join(lines[-3:]) or f"exit code {code}")


def _command(client: Client, place: Path, folder: Path) -> list[str]:
    """The script as its interpreter wants it; raises Skipped where that is missing."""
    script = SCRIPTS / client.script
    if script.suffix == ".py":
        python = place / "bin" / "python"
        if not python.exists():
            raise Skipped(f"{python} is not there: make the environment, then {client.install}")
        return [str(python), str(script)]
    node = shutil.which("node")
    if node is None or not (place / "node_modules").exists():
        raise Skipped(f"it needs Node.js and {place / 'node_modules'}: {client.install}")
    (folder / "node_modules").symlink_to(place / "node_modules")  # where node looks for imports
    for part in (script, SCRIPTS / "common.mjs"):
        shutil.copy(part, folder)
    return [node, str(folder / script.name)]


async def _told(server: Server) -> str:
    """The script's argument (`clients/common.py`)."""
    asked = server.profile
    prompts = {"plain": asked.hello, "tool": asked.tool, "schema": asked.person}
    if asked.fail:
        prompts["fails"] = asked.fail
    told = {
        "url": str(server.url).rstrip("/"),
        "model": server.model,
        "abilities": sorted(await server.abilities()),
        "prompts": prompts,
    }
    return msgspec.json.encode(told).decode()


async def _ran(command: list[str], home: Path) -> tuple[int, str]:
    """Exit code, and what was said; nothing is left running when the row's time is up."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=home,
        env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), **QUIET},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, said.decode(errors="replace")


ROWS = tuple(
    Row(f"G{number}", client.title, client.expected, partial(_works, client))
    for number, client in enumerate(CLIENTS, 1)
)
