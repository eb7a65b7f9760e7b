"""fleet-rlm's variables, for keys that a manifest leaves out (its source page, "Configuration").

`RLM_MAX_STEPS` is `[loop] max_steps`, `RLM_SERVER_TIMEOUT` `[budget] seconds_per_turn`, and
`DSPY_LM_MODEL` `[llm] model`, with `provider` where it says `openai/` or `ollama/` in front.
"""

from collections.abc import Mapping

import msgspec

from atoll.config.manifest import Manifest
from atoll.errors import ConfigError, Problem
from atoll.wire.json import JsonObject

VARIABLES = frozenset(("DSPY_LM_MODEL", "RLM_MAX_STEPS", "RLM_SERVER_TIMEOUT"))

_PROVIDERS = {"openai": "openai", "ollama": "ollama", "ollama_chat": "ollama"}


def filled(manifest: Manifest, given: frozenset[str], environ: Mapping[str, str]) -> Manifest:
    """The manifest with what the variables say; raises ConfigError for a value that is none."""
    if not VARIABLES & environ.keys():
        return manifest
    tables: dict[str, JsonObject] = {
        "loop": _number("max_steps", "RLM_MAX_STEPS", environ),
        "budget": _number("seconds_per_turn", "RLM_SERVER_TIMEOUT", environ),
        "llm": _model(environ.get("DSPY_LM_MODEL", "")),
    }
    built: JsonObject = msgspec.to_builtins(manifest)
    for table, values in tables.items():
        new = {key: value for key, value in values.items() if f"{table}.{key}" not in given}
        old = built.get(table)
        built[table] = (old if isinstance(old, dict) else {}) | new
    return msgspec.convert(built, Manifest)


def _number(key: str, variable: str, environ: Mapping[str, str]) -> JsonObject:
    text = environ.get(variable, "").strip()
    if not text:
        return {}
    if not text.isdecimal() or int(text) < 1:
        hint = f"set it to a whole number, 1 or more, or unset it: unset {variable}"
        raise ConfigError(Problem(file=variable, message=f"{text!r} is no number", hint=hint))
    return {key: int(text)}


def _model(text: str) -> JsonObject:
    provider, _, name = text.strip().partition("/")
    if name and provider in _PROVIDERS:
        return {"provider": _PROVIDERS[provider], "model": name}
    return {"model": text.strip()} if text.strip() else {}
