"""`/api/v1/recipes`: what services can be made of."""

from typing import Annotated

from litestar import get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter

from atoll_supervisor.api.auth import PUBLIC
from atoll_supervisor.api.health import AnyServices
from atoll_supervisor.core.answers import ErrorBody
from atoll_supervisor.core.services.recipe import Recipe
from atoll_supervisor.core.services.showing import recipe_shown
from atoll_supervisor.core.services.summary import Listed

RecipePath = Annotated[str, Parameter(description="For example `inference/vllm`")]


class Shown(Recipe, frozen=True, kw_only=True):
    """One recipe with the path that a request names it by."""

    path: str


@get("/api/v1/recipes", opt=PUBLIC, operation_id="list_recipes", tags=["recipes"])
async def list_recipes(services: AnyServices) -> tuple[Listed, ...]:
    """Every recipe; one that cannot be used says why."""
    return await services.recipes()


@get(
    "/api/v1/recipes/{recipe:path}",
    opt=PUBLIC,
    operation_id="show_recipe",
    tags=["recipes"],
    responses={404: ResponseSpec(ErrorBody, description="No recipe of this name")},
)
async def show_recipe(services: AnyServices, recipe: RecipePath) -> Shown:
    """One recipe: its command, its parameters, and what a request may change."""
    path = str(recipe).removeprefix("/")
    found = recipe_shown(await services.recipe(path))
    values = {name: getattr(found, name) for name in Recipe.__struct_fields__}
    return Shown(**values, path=path)


HANDLERS = (list_recipes, show_recipe)
