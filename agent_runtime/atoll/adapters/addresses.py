"""URLs of model servers as people write them, made whole."""

from urllib.parse import SplitResult, urlsplit

from atoll.errors import ConfigError, Problem

OLLAMA_PORT = 11434
OLLAMA_DEFAULT = f"http://127.0.0.1:{OLLAMA_PORT}"
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  read, never bound


def whole_url(text: str, port: int | None = None, *, origin: str = "[llm] base_url") -> str:
    """A base URL without a trailing slash; `port` is added where there is none.

    Raises ConfigError, naming `origin`, for what is no http or https URL.
    """
    parts = _split(text.strip(), origin)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _bad(text, origin)
    if port is None or parts.port is not None:
        return text.strip().rstrip("/")
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{_host(parts.hostname)}:{port}{path}"


def ollama_host(text: str, origin: str = "OLLAMA_HOST") -> str:
    """Ollama's own variable: `host`, `:port`, `host:port` or a URL.

    Without a scheme the port is 11434 by itself; an address that means "all
    interfaces" is one for a server, so a client takes loopback.
    """
    written = text.strip().strip("\"'")
    plain = "://" not in written
    parts = _split(f"http://{written}" if plain else written, origin)
    if parts.scheme not in ("http", "https"):
        raise _bad(text, origin)
    host = _WILDCARDS.get(parts.hostname or "", parts.hostname or "")
    port = parts.port or (OLLAMA_PORT if plain else None)
    tail = f":{port}" if port else ""
    return f"{parts.scheme}://{_host(host)}{tail}{parts.path.rstrip('/')}"


def _split(text: str, origin: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise _bad(text, origin) from None
    return parts


def _host(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def _bad(text: str, origin: str) -> ConfigError:
    hint = "write it as http://host:port"
    return ConfigError(Problem(file=origin, message=f"{text!r} is no http(s) URL", hint=hint))
