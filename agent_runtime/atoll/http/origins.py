"""Which Host and Origin a request may carry: pure judgments, no ASGI.

Host follows Ollama's rule against DNS rebinding (ollama-api.md 3.2, narrowed by
DESIGN section 11): a name that anybody can point at this machine is refused on
a loopback bind. Litestar's own check is not usable (attacks.md section 0).
"""

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from atoll.config.loopback import is_loopback

Verdict = Literal["own", "allowed", "refused"]

_HOST = re.compile(
    r"(?:\[(?P<v6>[0-9a-f:.%]{2,64})\]|(?P<name>[a-z0-9._-]{1,255}))(?::[0-9]{1,5})?"
)
_LOCAL_WEB = re.compile(r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0)(?::[0-9]{1,5})?")
_APP_SCHEMES = ("app://", "file://", "tauri://", "vscode-webview://", "vscode-file://")


def host_name(value: str) -> str:
    """The host of a Host header in lower case, without port, brackets and last dot; "" if bad."""
    found = _HOST.fullmatch(value.strip().lower())
    if found is None:
        return ""
    return found["v6"] or found["name"].removesuffix(".")


def host_allowed(name: str, *, bind_host: str, machine: str, allowed: Sequence[str]) -> bool:
    """Whether a request to host `name` (as `host_name` gives it) may pass.

    Beyond loopback every well-formed name passes, as with Ollama: such a bind
    needs a token, so rebinding gains nothing.
    """
    if not name:
        return False
    if not is_loopback(bind_host) or "*" in allowed:
        return True
    if name in ("localhost", machine.lower()) or name.endswith(".localhost"):
        return True
    if any(name == host_name(entry) for entry in allowed):
        return True
    return _is_private(name)


def judge_origin(
    origin: str, host: str, *, allowed: Sequence[str], same_origin_only: bool
) -> Verdict:
    """Whether a browser's page from `origin` may use what is served at Host header `host`."""
    page = origin.strip().lower()
    if page in (f"http://{host.lower()}", f"https://{host.lower()}"):
        return "own"
    if same_origin_only:
        return "refused"
    if "*" in allowed or any(page == entry.lower().rstrip("/") for entry in allowed):
        return "allowed"
    if _LOCAL_WEB.fullmatch(page) or page.startswith(_APP_SCHEMES):
        return "allowed"
    return "refused"


@lru_cache(maxsize=256)
def _is_private(name: str) -> bool:
    """Asked for every request, mostly about the same one."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_private
