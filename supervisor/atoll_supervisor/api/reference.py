"""`GET /docs`, `/redoc` and `/scalar`: the OpenAPI document as one page.

Swagger UI, Redoc and Scalar are programs of others that a page would load from their
servers; this one is the agents' own page, which works without a network and without a script.
"""

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec

from atoll.http.reference.page import HEADERS, page_of
from atoll_supervisor.api.auth import PUBLIC
from atoll_supervisor.api.openapi import document_of
from atoll_supervisor.api.problems import AnyRequest


@get(
    ["/docs", "/redoc", "/scalar"],
    opt=PUBLIC,
    tags=["daemon"],
    responses={200: ResponseSpec(str, description="The page", generate_examples=False)},
    sync_to_thread=False,
)
def reference_page(request: AnyRequest) -> Response[str]:
    """Every route of this port, with a command to try each."""
    page = page_of(document_of(request), str(request.base_url).rstrip("/"))
    return Response(page, headers=dict(HEADERS), media_type="text/html")
