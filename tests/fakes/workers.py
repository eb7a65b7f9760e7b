"""Folders of scripted agents with typed input and output, as runs need them."""

import json
from pathlib import Path

from atoll.wire.json import JsonObject

TOML = """
[agent]
name = {name}
description = {about}

[llm]
provider = "scripted"
script = "script.toml"

[io]
{io}
{more}
"""


def add_worker(
    agents: Path,
    name: str,
    *answers: JsonObject | str,
    takes: str = "query: str | The query to process",
    gives: str = "result: str | The processed result",
    io: str = "",
    more: str = "",
    delay: float = 0.0,
) -> Path:
    """An agent that gives these answers, one after the other and then from the beginning."""
    folder = agents / name.lower().replace(" ", "-")
    folder.mkdir(parents=True)
    turns = (answer if isinstance(answer, str) else json.dumps(answer) for answer in answers)
    script = "".join(f"[[turn]]\ndelay = {delay}\nchunks = [{_toml(one)}]\n" for one in turns)
    (folder / "script.toml").write_text(script)
    keys = "".join(
        f"{key} = {_toml(text)}\n" for key, text in (("input", takes), ("output", gives)) if text
    )
    manifest = folder / "agent.toml"
    about = f"The {name}"
    manifest.write_text(TOML.format(name=_toml(name), about=_toml(about), io=keys + io, more=more))
    return manifest


def _toml(text: str) -> str:
    return json.dumps(text)
