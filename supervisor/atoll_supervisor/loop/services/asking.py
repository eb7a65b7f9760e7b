"""Prompts to services: to one that runs, and of several to each in its turn."""

from collections.abc import Callable

from atoll.errors import ClientError
from atoll_supervisor.core.services.prompt import Answered, NotAnswered, NotReady, Prompt, not_ready
from atoll_supervisor.core.services.record import GAUGE, Record
from atoll_supervisor.core.services.summary import ModelList
from atoll_supervisor.shell.services.model_client import ModelClient

Records = tuple[Record, ...]


class Asking:
    """Whose turn it is, and the client that asks."""

    def __init__(self) -> None:
        self._client = ModelClient()
        self._turns: dict[str, int] = {}

    async def prompt(self, name: str, records: Records, prompt: Prompt) -> Answered | NotAnswered:
        """The answer of one of these, which are what `name` means.

        One that cannot be reached, as for the moment after its death, is passed over.
        """
        _expect_model_server(records)
        answer: Answered | NotAnswered = not_ready(_first(records))
        for record in self._in_turn(name, records):
            answer = await self._client.prompt(record, prompt)
            if not isinstance(answer, NotReady):
                break
        return answer

    async def models(self, name: str, records: Records) -> ModelList | NotAnswered:
        """The models of one of these."""
        _expect_model_server(records)
        answer: ModelList | NotAnswered = not_ready(_first(records))
        for record in self._in_turn(name, records):
            found = await self._client.models(record)
            if not isinstance(found, NotAnswered):
                return ModelList(models=found, service_id=record.id)
            answer = found
        return answer

    async def metrics(self, records: Records) -> str:
        """Our gauges, then what the server says of itself; several would say the same names."""
        ours = "".join(
            (
                _family("atoll_service_status", "gauge", records, _status),
                _family("atoll_service_restarts_total", "counter", records, _restarts),
            )
        )
        only = records[0]
        asked = len(records) == 1 and only.order.metrics and only.status == "running"
        return ours + (await self._client.metrics(only) if asked else "")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _in_turn(self, name: str, records: Records) -> Records:
        """Those that run, beginning with the one whose turn it is."""
        running = tuple(record for record in records if record.status == "running")
        if not running:
            self._turns.pop(name, None)
            return ()
        turn = self._turns.get(name, 0) % len(running)
        if len(records) > 1:
            self._turns[name] = turn + 1
        return running[turn:] + running[:turn]


def _expect_model_server(records: Records) -> None:
    if records[0].order.api != "openai":
        raise ClientError(f"{records[0].name} is no model server: its recipe names no api")


def _first(records: Records) -> Record:
    """The one that says most of why none can be asked: one that is not over yet."""
    return min(records, key=lambda record: record.is_final)


def _family(name: str, kind: str, records: Records, value: Callable[[Record], int]) -> str:
    """One metric of each; the format wants those of one name together, and its type once."""
    rows = (
        f'{name}{{service="{record.name}",recipe="{record.recipe_name}"}} {value(record)}\n'
        for record in records
    )
    return "".join((f"# TYPE {name} {kind}\n", *rows))


def _status(record: Record) -> int:
    return GAUGE[record.status]


def _restarts(record: Record) -> int:
    return record.restarts
