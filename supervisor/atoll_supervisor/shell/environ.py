"""The environment a unit gets: a short allow-list, never the daemon's own (attacks.md S25)."""

from collections.abc import Iterable, Mapping

from atoll.config.environ import VARIABLES

ALLOWED = VARIABLES | frozenset(
    {
        "HOME",
        "LANG",
        "LANGUAGE",
        "LOGNAME",
        "PATH",
        "PYTHONPATH",
        "SHELL",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "TMPDIR",
        "TZ",
        "USER",
        "VIRTUAL_ENV",
    }
)
ALLOWED_PREFIXES = ("LC_", "XDG_")
FORBIDDEN = frozenset(
    {
        "ATOLL_TOKEN",
        "LISTEN_FDNAMES",
        "LISTEN_FDS",
        "LISTEN_PID",
        "NOTIFY_SOCKET",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
    }
)
"""Between the daemon and systemd or its operator; not even a manifest may ask for these."""

ALWAYS = {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}


def child_environment(
    environ: Mapping[str, str], wanted: Iterable[str], extra: Mapping[str, str]
) -> dict[str, str]:
    """Choose what a unit sees of `environ`, and add `extra`, which wins.

    `wanted` are the names that the unit's manifest refers to (`api_key_env`,
    `${VAR}`); a name that is not set is left out.
    """
    names = ({name for name in environ if _allowed(name)} | set(wanted)) - FORBIDDEN
    chosen = {name: environ[name] for name in sorted(names) if name in environ}
    return ALWAYS | chosen | dict(extra)


def _allowed(name: str) -> bool:
    return name in ALLOWED or name.startswith(ALLOWED_PREFIXES)
