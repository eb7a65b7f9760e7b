"""`GET /docs`, `/redoc` and `/scalar`: the OpenAPI document as a page, and the pages' files."""

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec

from atoll.http.reference.pages import asset, reference
from atoll.http.reference.programs import ASSETS, Page
from atoll_supervisor.api.agents import AnyFleet
from atoll_supervisor.api.auth import PUBLIC
from atoll_supervisor.api.openapi import document_of
from atoll_supervisor.api.problems import AnyRequest
from atoll_supervisor.ports import Fleet

_PAGE = {200: ResponseSpec(str, description="The page", media_type="text/html")}


@get("/docs", opt=PUBLIC, operation_id="swagger_ui", tags=["daemon"], responses=_PAGE)
async def swagger_ui(request: AnyRequest, fleet: AnyFleet) -> Response[str]:
    """Every route of this port on a page on which they can be tried.

    Where Swagger UI is not installed: one page without a script, with a command for each route.
    """
    return await _page("/docs", request, fleet)


@get("/redoc", opt=PUBLIC, operation_id="redoc", tags=["daemon"], responses=_PAGE)
async def redoc(request: AnyRequest, fleet: AnyFleet) -> Response[str]:
    """Every route of this port on a page to read; without Redoc, the same as `/docs` without."""
    return await _page("/redoc", request, fleet)


@get("/scalar", opt=PUBLIC, operation_id="scalar", tags=["daemon"], responses=_PAGE)
async def scalar(request: AnyRequest, fleet: AnyFleet) -> Response[str]:
    """Every route of this port, a client beside it; without Scalar, as `/docs` without."""
    return await _page("/scalar", request, fleet)


@get(f"{ASSETS}{{name:path}}", opt=PUBLIC, include_in_schema=False)
async def reference_asset(request: AnyRequest) -> Response[bytes]:
    """A file of theirs."""
    return await asset(request.url.path, request.headers.get("if-none-match"))


async def _page(path: Page, request: AnyRequest, fleet: Fleet) -> Response[str]:
    document = await document_of(request, fleet)
    return reference(path, document, str(request.base_url).rstrip("/"))


HANDLERS = (swagger_ui, redoc, scalar, reference_asset)
