"""No services at all, for tests of everything else."""

from pathlib import Path

from atoll.errors import NotFound
from atoll_supervisor.core.services.order import Wish
from atoll_supervisor.core.services.prompt import Answered, NotAnswered, Prompt
from atoll_supervisor.core.services.recipe import Recipe
from atoll_supervisor.core.services.record import ServiceGroup, ServiceRow
from atoll_supervisor.core.services.summary import Ending, Listed, ModelList


class NoServices:
    """A `ports.Services` that knows none and starts none."""

    degraded = ""

    async def recipes(self) -> tuple[Listed, ...]:
        return ()

    async def recipe(self, path: str) -> Recipe:
        raise NotFound(f"Recipe '{path}' not found")

    def rows(self, api: str = "") -> tuple[ServiceRow, ...]:
        return ()

    def groups(self) -> tuple[ServiceGroup, ...]:
        return ()

    def row(self, name: str) -> ServiceRow | ServiceGroup:
        raise NotFound("Service not found")

    async def create(self, wish: Wish) -> ServiceRow | ServiceGroup:
        await self.recipe(wish.recipe_name)
        raise AssertionError

    async def cancel(self, name: str, *, purge: bool, wait: bool = True) -> Ending:
        raise NotFound("Service not found")

    async def restart(self, name: str) -> ServiceRow | ServiceGroup:
        raise NotFound("Service not found")

    def key(self, name: str) -> str:
        raise NotFound("Service not found")

    def logs(self, name: str) -> tuple[tuple[str, Path], ...]:
        raise NotFound("Service not found")

    async def prompt(self, name: str, prompt: Prompt) -> Answered | NotAnswered:
        raise NotFound("Service not found")

    async def models(self, name: str) -> ModelList | NotAnswered:
        raise NotFound("Service not found")

    async def metrics(self, name: str) -> str:
        raise NotFound("Service not found")
