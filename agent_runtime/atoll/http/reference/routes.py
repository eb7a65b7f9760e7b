"""`/openapi.json`, and the pages that show it: `/docs`, `/redoc` and `/scalar`.

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


@get(["/docs", "/redoc", "/scalar"])
async def reference_page(request: AnyRequest) -> Response[str]:
    """Swagger UI, Redoc or Scalar, where it is installed; a page of our own where not."""
    path, base = request.url.path.rstrip("/"), str(request.base_url).rstrip("/")
    answer: Response[str] = _late("pages").reference(path, _document(request), base)
    return answer


@get("/docs/assets/{name:path}")
async def reference_asset(request: AnyRequest) -> Response[bytes]:
    """A file of theirs."""
    known = request.headers.get("if-none-match")
    answer: Response[bytes] = await _late("pages").asset(request.url.path, known)
    return answer


REFERENCE = (openapi_document, reference_page, reference_asset)


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
