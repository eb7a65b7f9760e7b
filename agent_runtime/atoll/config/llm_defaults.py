"""What `~/.ollama_server/.ollama_config.json` says of the model, where a manifest says nothing."""

from msgspec import Struct


class LlmDefaults(Struct, frozen=True, kw_only=True):
    """The source page's keys; None means that the file leaves the key out.

    `request_timeout` is in seconds. `port` is joined to a `base_url` that has none.
    """

    base_url: str | None = None
    port: int | None = None
    model: str | None = None
    request_timeout: float | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
