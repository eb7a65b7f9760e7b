"""`/openapi.json`, and the page that shows it at `/scalar`, `/docs` and `/redoc`."""

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State

from atoll.http.access import agent_of
from atoll.http.reference.document import document_of
from atoll.http.reference.page import POLICY, page_of
from atoll.loop.agent import Agent
from atoll.wire.json import JsonObject

AnyRequest = Request[object, object, State]

_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


@get("/openapi.json")
async def openapi_document(request: AnyRequest) -> Response[bytes]:
    """The OpenAPI 3.1 document."""
    body = msgspec.json.encode(_document(agent_of(request.app)))
    return Response(body, media_type="application/json")


@get(["/scalar", "/docs", "/redoc"])
async def reference_page(request: AnyRequest) -> Response[str]:
    """The page. Scalar's own, as Litestar has it, loads its program from a server of others."""
    page = page_of(_document(agent_of(request.app)))
    return Response(page, headers=_HEADERS, media_type="text/html")


REFERENCE = (openapi_document, reference_page)


def _document(agent: Agent) -> JsonObject:
    about = agent.manifest.agent
    return document_of(about.name, about.version, about.description or "")
