"""`/openapi.json`, and the page that shows it at `/scalar`, `/docs` and `/redoc`.

Few agents are ever asked for them, so what they are made with is imported by the
first request: it would be 90 KiB of every agent.
"""

from importlib import import_module
from types import ModuleType

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State

from atoll.http.access import agent_of, is_private
from atoll.wire.json import JsonObject

AnyRequest = Request[object, object, State]


@get("/openapi.json")
async def openapi_document(request: AnyRequest) -> Response[bytes]:
    """The OpenAPI 3.1 document."""
    body = msgspec.json.encode(_document(request))
    return Response(body, media_type="application/json")


@get(["/scalar", "/docs", "/redoc"])
async def reference_page(request: AnyRequest) -> Response[str]:
    """The page. Scalar's own, as Litestar has it, loads its program from a server of others."""
    pages = _late("page")
    page: str = pages.page_of(_document(request), str(request.base_url).rstrip("/"))
    return Response(page, headers=dict(pages.HEADERS), media_type="text/html")


REFERENCE = (openapi_document, reference_page)


def _document(request: AnyRequest) -> JsonObject:
    agent = agent_of(request.app)
    about = agent.manifest.agent
    document: JsonObject = _late("document").document_of(
        about.name,
        about.version,
        about.description or "",
        agent.slug,
        is_private=is_private(request.app),
    )
    return document


def _late(module: str) -> ModuleType:
    return import_module(f"atoll.http.reference.{module}")
