"""Which agent a request is for: the one thing that the gateway reads in a body. Pure.

The words are those of Ollama for each route (ollama-api.md 2.1).
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct
from msgspec.json import Decoder

from atoll.config.names import name_fault, slug_of, without_tag
from atoll.errors import ClientError, NotFound
from atoll.http.checks import valid_name
from atoll.http.decoding import decode


class Named(Struct):
    """The fields in which requests name a model; all others are passed over."""

    model: str | None = None
    name: str | None = None
    source: str | None = None


class Naming(Struct, frozen=True):
    """How a route names its model, and what it says when there is none; `{}` is the name.

    `missing` "" means that no name at all is an invalid one.
    """

    field: Literal["model", "model or name", "source"] = "model"
    missing: str = "model is required"
    unknown: str = "model '{}' not found"
    invalid: str = "invalid model name"

    def name_in(self, body: bytes) -> str:
        """The name in a request's body, "" for none; raises ClientError for what is no JSON."""
        named = decode(_decoder, body)
        match self.field:
            case "model":
                return named.model or ""
            case "model or name":
                return named.model or named.name or ""
            case "source":
                return named.source or ""

    def fault(self, name: str) -> ClientError:
        """Why there is no agent of this name to ask."""
        if not name and self.missing:
            wrong = ClientError if self.missing == _REQUIRED else NotFound
            return wrong(self.missing)
        if not valid_name(name):
            return ClientError(self.invalid.format(name))
        return NotFound(self.unknown.format(name))


_REQUIRED = "model is required"
_decoder = Decoder(Named)

PLAIN = Naming()
EITHER = Naming(field="model or name")
_GENERATE = Naming(missing="model '' not found")
_EMBED = Naming(missing="model '' not found", unknown='model "{}" not found, try pulling it first')
_EMBEDDINGS = Naming(unknown='model "{}" not found, try pulling it first')
_DELETE = Naming(field="model or name", missing="", invalid='name "{}" is invalid')
_COPY = Naming(
    field="source",
    missing="",
    unknown='model "{}" not found',
    invalid='source "{}" is invalid',
)

FORWARDED: Mapping[str, tuple[str, Naming]] = {
    "/api/chat": ("POST", PLAIN),
    "/api/generate": ("POST", _GENERATE),
    "/api/embed": ("POST", _EMBED),
    "/api/embeddings": ("POST", _EMBEDDINGS),
    "/api/pull": ("POST", EITHER),
    "/api/copy": ("POST", _COPY),
    "/api/delete": ("DELETE", _DELETE),
    "/v1/chat/completions": ("POST", PLAIN),
    "/v1/completions": ("POST", PLAIN),
    "/v1/embeddings": ("POST", PLAIN),
    "/v1/responses": ("POST", PLAIN),
    "/v1/messages": ("POST", PLAIN),
    "/v1/messages/count_tokens": ("POST", PLAIN),
}
"""What the agent itself answers: its path with the method and the naming."""


def slug_in(name: str) -> str:
    """The slug that a client means by `name`, in any spelling; "" for what can be none."""
    bare = without_tag(name)
    return "" if name_fault(bare) else slug_of(bare)
