"""What a name means: a service's id or its name, or a group's id."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from atoll.errors import NotFound
from atoll_supervisor.core.services.recipe import EngineName
from atoll_supervisor.core.services.record import Record
from atoll_supervisor.loop.services.making import GROUP
from atoll_supervisor.ports import ServiceEngine


def find(records: Mapping[str, Record], name: str) -> tuple[Record, ...]:
    """The service, or every replica of the group; raises NotFound in the source page's words."""
    if is_group(name):
        found = tuple(one for one in records.values() if one.group_id == name)
    else:
        found = tuple(filter(None, (records.get(name) or _named(records, name),)))
    if not found:
        raise NotFound("Service not found")
    return found


def put_back(
    records: Mapping[str, Record], record: Record, order: Iterable[str]
) -> dict[str, Record]:
    """The records with this one among them again, where it was in `order`."""
    every = {**records, record.id: record}
    return {one: every[one] for one in (*order, *every) if one in every}


def logs_of(
    records: Sequence[Record], engines: Mapping[EngineName, ServiceEngine]
) -> tuple[tuple[str, Path], ...]:
    """The files that they write; of several with the name of each."""
    return tuple(
        (f"{record.name} {title}" if len(records) > 1 else title, path)
        for record in records
        for title, path in engines[record.engine].logs(record)
    )


def is_group(name: str) -> bool:
    """Whether it is a group's id."""
    return name.startswith(GROUP)


def _named(records: Mapping[str, Record], name: str) -> Record | None:
    """By its name, which ends in its id."""
    record = records.get(name.rpartition("-")[2])
    return record if record is not None and record.name == name else None
