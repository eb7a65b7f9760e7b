"""`GET /openapi.json`: the description of every route, for people's tools.

Litestar's own OpenAPI routes would claim `/` and answer unknown paths in HTML
when they live at the root, so they stay under `/schema` and this one handler
serves the document where the source pages have it.
"""

import msgspec
from litestar import Response, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from atoll_supervisor.api.auth import PUBLIC
from atoll_supervisor.api.problems import AnyRequest


@get("/openapi.json", opt=PUBLIC, include_in_schema=False, sync_to_thread=False)
def openapi_document(request: AnyRequest) -> Response[bytes]:
    """The OpenAPI 3.1 document of this daemon."""
    body = msgspec.json.encode(request.app.openapi_schema.to_schema())
    return Response(body, media_type="application/json")


def openapi_config(version: str) -> OpenAPIConfig:
    """The document's head, and the two ways to show the token."""
    return OpenAPIConfig(
        title="ATOLL management API",
        version=version,
        description="One daemon, its fleet of agents, and what may be done with them.",
        path="/schema",
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
