"""`GET /openapi.json`: the description of every route, for people's tools.

Litestar's own pages would claim `/` and answer unknown paths in HTML, and this
one handler serves the document where the source pages have it; so they are
left out.
"""

import asyncio

import msgspec
from litestar import Litestar, Response, Router, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.routes import BaseRoute
from litestar.types import ControllerRouterHandler

from atoll.http.reference.document import called
from atoll.http.reference.operation import NAME
from atoll.wire.json import JsonObject
from atoll_supervisor.api.agents import AnyFleet
from atoll_supervisor.api.auth import PUBLIC, Access
from atoll_supervisor.api.describing import complete
from atoll_supervisor.api.gateway_part import add_gateway
from atoll_supervisor.api.problems import AnyRequest
from atoll_supervisor.api.summaries import TAGS
from atoll_supervisor.ports import Fleet

_ONE_OF, _ANY_OF = b'"oneOf":', b'"anyOf":'
"""Litestar's word for a union, by which an integer is no `int | float`, and the right one."""
_SAID = "The management token: `atoll token show` prints it"


class _NoPages(Router):
    """The router that Litestar fills with its own OpenAPI pages; it takes none of them."""

    def register(self, value: ControllerRouterHandler) -> list[BaseRoute]:
        """Take nothing, whatever `value` is."""
        del value
        return []


@get(
    "/openapi.json",
    opt=PUBLIC,
    operation_id="openapi",
    tags=["daemon"],
    responses={
        200: ResponseSpec(dict[str, object], description="The document", generate_examples=False)
    },
)
async def openapi_document(request: AnyRequest, fleet: AnyFleet) -> Response[bytes]:
    """An OpenAPI 3.1 document of every route of this port, those of the gateway among them."""
    document = await document_of(request, fleet)
    return Response(msgspec.json.encode(document), media_type="application/json")


async def document_of(request: AnyRequest, fleet: Fleet) -> JsonObject:
    """The document; an agent of the fleet is in its examples, as soon as there is one."""
    known: object = request.app.state.get("openapi")
    making = known if isinstance(known, _Making) else _Making(request.app)
    request.app.state["openapi"] = making
    return called(await making.whole(), next((row.slug for row in fleet.rows()), NAME))


class _Making:
    """The document of one application, made once, off the loop: it takes a third of a second."""

    def __init__(self, app: Litestar) -> None:
        self._app = app
        self._making: asyncio.Task[bytes] | None = None

    async def whole(self) -> bytes:
        """The document, for however many ask at once."""
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(_made, self._app))
        return await asyncio.shield(self._making)


def _made(app: Litestar) -> bytes:
    access: object = app.state["access"]
    assert isinstance(access, Access)
    found = msgspec.json.encode(app.openapi_schema.to_schema())
    whole = msgspec.json.decode(found.replace(_ONE_OF, _ANY_OF), type=JsonObject)
    whole["tags"] = [{"name": name, "description": said} for name, said in TAGS.items()]
    complete(whole, app.routes, access)
    add_gateway(whole, is_private=bool(access.work_token))
    return msgspec.json.encode(whole)


def openapi_config(version: str) -> OpenAPIConfig:
    """The document's head, and the two ways to show the token."""
    return OpenAPIConfig(
        title="ATOLL management API",
        version=version,
        description="One daemon, its fleet of agents, and what may be done with them; "
        "and the gateway, at which every agent is a model.",
        openapi_router=_NoPages("/schema", route_handlers=[]),
        render_plugins=[JsonRenderPlugin()],
        use_handler_docstrings=True,
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(type="http", scheme="bearer", description=_SAID),
                "api_key": SecurityScheme(
                    type="apiKey",
                    name="X-API-Key",
                    security_scheme_in="header",
                    description=_SAID,
                ),
            }
        ),
    )
