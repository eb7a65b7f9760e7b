"""Small answers about recipes, services and models."""

from msgspec import Struct


class Listed(Struct, frozen=True, kw_only=True):
    """One recipe in the list; `error` says why it cannot be used."""

    path: str
    name: str
    category: str
    description: str = ""
    version: str = ""
    api: str = ""
    error: str | None = None


class Ending(Struct, frozen=True, kw_only=True):
    """What came of ending a service; `gone` tells whether nothing of it runs any more."""

    job_id: str
    gone: bool


class ModelList(Struct, frozen=True, kw_only=True):
    """The models that a service serves, by their names."""

    success: bool = True
    models: tuple[str, ...]
    service_id: str


class Stopped(Struct, frozen=True):
    """The page's answer to DELETE."""

    message: str
    job_id: str


class Logs(Struct, frozen=True):
    """The last lines of every output file, each under its title."""

    logs: str
