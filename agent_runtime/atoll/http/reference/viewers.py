"""The page in which Swagger UI, Redoc or Scalar shows the document; nothing is from elsewhere."""

import base64
import hashlib
from collections.abc import Mapping
from html import escape

from atoll.http.reference.programs import Program

_STYLE = "body{margin:0}"


def view_of(program: Program, title: str) -> str:
    """The page, of a document of that title."""
    files = [program.place + name for name in program.files]
    return "".join(
        (
            '<!doctype html><html lang="en"><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f'<title>{escape(title)}: {program.name}</title><link rel="icon" href="data:,">',
            *(f'<link rel="stylesheet" href="{file}">' for file in files if file.endswith(".css")),
            f'<style>{_STYLE}</style><div id="reference"></div>',
            '<noscript>This page is a program; <a href="/openapi.json">openapi.json</a> is what ',
            "it would show.</noscript>",
            *(f'<script src="{file}"></script>' for file in files if file.endswith(".js")),
            f"<script>{program.start}</script></html>",
        )
    )


def headers_of(program: Program) -> Mapping[str, str]:
    """What the page is sent with: it may load its own files, ask its own server, and no more.

    All three write style sheets while they run, and Redoc searches in a worker of its own.
    """
    start = base64.b64encode(hashlib.sha256(program.start.encode()).digest()).decode()
    policy = {
        "default-src": "'none'",
        "script-src": f"'self' 'sha256-{start}'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "worker-src": "'self' blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "content-security-policy": "; ".join(f"{what} {where}" for what, where in policy.items()),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
