"""Prompts to services: to one that runs, and of several to each in its turn."""

from atoll.errors import ClientError
from atoll_supervisor.core.services.prompt import Answered, NotAnswered, Prompt, not_ready
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
        """The answer of one of these, which are what `name` means."""
        record = self._next(name, records)
        if record.order.api != "openai":
            raise ClientError(f"{record.name} is no model server: its recipe names no api")
        if record.status != "running":
            return not_ready(record)
        return await self._client.prompt(record, prompt)

    async def models(self, name: str, records: Records) -> ModelList | NotAnswered:
        """The models of one of these."""
        record = self._next(name, records)
        if record.status != "running":
            return not_ready(record)
        found = await self._client.models(record)
        if isinstance(found, NotAnswered):
            return found
        return ModelList(models=found, service_id=record.id)

    async def metrics(self, record: Record) -> str:
        """Our gauges, then what the server says of itself."""
        label = f'{{service="{record.name}",recipe="{record.recipe_name}"}}'
        lines = (
            "# TYPE atoll_service_status gauge",
            f"atoll_service_status{label} {GAUGE[record.status]}",
            "# TYPE atoll_service_restarts_total counter",
            f"atoll_service_restarts_total{label} {record.restarts}",
            "",
        )
        asked = record.order.metrics and record.status == "running"
        return "\n".join(lines) + (await self._client.metrics(record) if asked else "")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _next(self, name: str, records: Records) -> Record:
        """One that runs, each in its turn; without any, the first."""
        running = [record for record in records if record.status == "running"]
        if not running:
            self._turns.pop(name, None)
            return records[0]
        turn = self._turns.get(name, 0)
        if len(records) > 1:
            self._turns[name] = turn + 1
        return running[turn % len(running)]
