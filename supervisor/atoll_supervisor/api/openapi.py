"""`GET /openapi.json`: the description of every route, for people's tools.

Litestar's own pages would claim `/` and answer unknown paths in HTML, and this
one handler serves the document where the source pages have it; so they are
left out.
"""

import msgspec
from litestar import Response, Router, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.routes import BaseRoute
from litestar.types import ControllerRouterHandler

from atoll.wire.json import JsonObject
from atoll_supervisor.api.auth import PUBLIC
from atoll_supervisor.api.problems import AnyRequest
from atoll_supervisor.api.requests import with_bodies


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
    sync_to_thread=False,
)
def openapi_document(request: AnyRequest) -> Response[bytes]:
    """The OpenAPI 3.1 document of this daemon."""
    return Response(msgspec.json.encode(document_of(request)), media_type="application/json")


def document_of(request: AnyRequest) -> JsonObject:
    """The document, with the bodies that routes decode by themselves."""
    return with_bodies(msgspec.convert(request.app.openapi_schema.to_schema(), JsonObject))


def openapi_config(version: str) -> OpenAPIConfig:
    """The document's head, and the two ways to show the token."""
    return OpenAPIConfig(
        title="ATOLL management API",
        version=version,
        description="One daemon, its fleet of agents, and what may be done with them.",
        openapi_router=_NoPages("/schema", route_handlers=[]),
        render_plugins=[JsonRenderPlugin()],
        use_handler_docstrings=True,
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(type="http", scheme="bearer"),
                "api_key": SecurityScheme(
                    type="apiKey", name="X-API-Key", security_scheme_in="header"
                ),
            }
        ),
    )
