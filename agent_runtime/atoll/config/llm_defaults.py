"""What `~/.ollama_server/.ollama_config.json` says of the model, where a manifest says nothing."""

from collections.abc import Collection
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from atoll.config.manifest import Llm, Port, Positive


class LlmDefaults(Struct, frozen=True, kw_only=True):
    """The source page's keys; None means that the file leaves the key out.

    `request_timeout` is in seconds. `port` is joined to a `base_url` that has none.
    """

    base_url: str | None = None
    port: Port | None = None
    model: str | None = None
    request_timeout: Positive | None = None
    max_tokens: Annotated[int, Meta(ge=-1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None


def filled(llm: Llm, defaults: LlmDefaults, given: Collection[str]) -> Llm:
    """The `[llm]` table with the defaults where the manifest (its `given` keys) says nothing."""
    keys = ("temperature", "top_p", "max_tokens", "request_timeout")
    said = {key: getattr(defaults, key) for key in keys if f"llm.{key}" not in given}
    values = {key: value for key, value in said.items() if value is not None}
    return msgspec.convert(msgspec.to_builtins(llm) | values, Llm)
