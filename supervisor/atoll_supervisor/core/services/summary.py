"""Small answers about recipes, services, models and what Prometheus finds."""

from collections.abc import Iterable

from msgspec import Struct

from atoll_supervisor.core.services.record import ServiceRow


class Listed(Struct, frozen=True, kw_only=True):
    """One recipe in the list; `error` says why it cannot be used.

    `notes` are what it says that is not acted upon: keys of the source system's YAML.
    """

    path: str
    name: str
    category: str
    description: str = ""
    version: str = ""
    api: str = ""
    error: str | None = None
    notes: tuple[str, ...] = ()


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


class Target(Struct, frozen=True):
    """What Prometheus scrapes, as its HTTP service discovery wants it (http_sd_config)."""

    targets: tuple[str, ...]
    labels: dict[str, str]


def targets_of(rows: Iterable[ServiceRow], daemon: str) -> tuple[Target, ...]:
    """The services that run, each to be scraped at `daemon` (host:port).

    There every service has metrics, also one whose server has none, or wants a
    key, or is on a node that Prometheus does not reach. `job`, `service_id` and
    `recipe_name` are the source system's labels.
    """
    return tuple(Target((daemon,), _labels(row)) for row in rows if row.status == "running")


def _labels(row: ServiceRow) -> dict[str, str]:
    group = {"group_id": row.group_id} if row.group_id else {}
    return {
        "job": f"service-{row.id}",
        "instance": row.name,
        "service_id": row.id,
        "recipe_name": row.recipe_name,
        **group,
        "__metrics_path__": f"/api/v1/services/{row.id}/metrics",
    }
