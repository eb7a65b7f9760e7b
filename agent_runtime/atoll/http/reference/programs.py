"""Swagger UI, Redoc and Scalar: which files of theirs are served, and where from.

`atoll docs install` puts them there.

A program is served when the version that is named here is there, whole. Nothing but the
files named here is ever read, whatever a request says.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

Page = Literal["/docs", "/redoc", "/scalar"]

ASSETS = "/docs/assets/"
"""Begins the path of each file."""
_JS, _CSS = "text/javascript", "text/css"


class Asset(NamedTuple):
    """One file: its place in the folder and its type.

    `instead` are words of it in whose place others are sent: addresses of strangers.
    """

    file: str
    media: str
    instead: Mapping[bytes, bytes] = {}


class Program(NamedTuple):
    """One of the three, in the wheel `wheel` of that version.

    `start` is the script that fills the page's element `reference` from `/openapi.json`;
    `files` are its assets by the names that pages give them.
    """

    name: str
    wheel: str
    version: str
    files: Mapping[str, Asset]
    start: str

    @property
    def place(self) -> str:
        """The path under which its files are served: another one for each version."""
        return f"{ASSETS}{self.wheel}-{self.version}/"


PROGRAMS: Mapping[Page, Program] = {
    "/docs": Program(
        name="Swagger UI",
        wheel="flask_openapi_swagger",
        version="5.34.0",
        files={
            "swagger-ui.css": Asset("templates/swagger/css/swagger-ui.css", _CSS),
            "swagger-ui.js": Asset("templates/swagger/js/swagger-ui-bundle.js", _JS),
        },
        start='SwaggerUIBundle({url: "/openapi.json", dom_id: "#reference", deepLinking: true, '
        "validatorUrl: null, docExpansion: 'list', defaultModelsExpandDepth: 0});",
    ),
    "/redoc": Program(
        name="Redoc",
        wheel="flask_openapi_redoc",
        version="2.5.4",
        files={
            "redoc.js": Asset(
                "templates/redoc/js/redoc.standalone.js",
                _JS,
                {b"https://cdn.redoc.ly/redoc/logo-mini.svg": b"data:,"},
            ),
        },
        start='Redoc.init("/openapi.json", {sanitize: true}, '
        'document.getElementById("reference"));',
    ),
    "/scalar": Program(
        name="Scalar",
        wheel="flask_openapi_scalar",
        version="1.76.0",
        files={"scalar.js": Asset("templates/scalar/js/scalar.standalone.js", _JS)},
        start='Scalar.createApiReference("#reference", {url: "/openapi.json", '
        "withDefaultFonts: false, telemetry: false, hideClientButton: true, "
        'showDeveloperTools: "never", agent: {disabled: true}, mcp: {disabled: true}});',
    ),
}


class File(NamedTuple):
    """A file that is there, and what it is."""

    path: Path
    asset: Asset


def folder() -> Path:
    """Where the wheels' contents are: of this Python environment, as its other data."""
    return Path(sys.prefix, "share", "atoll", "docs")


def is_installed(program: Program) -> bool:
    """Whether this very version is there with all its files."""
    place = folder()
    about = place / f"{program.wheel}-{program.version}.dist-info"
    return about.is_dir() and all(
        (place / program.wheel / asset.file).is_file() for asset in program.files.values()
    )


def file_at(path: str) -> File | None:
    """What is served at a path; None for whatever is not exactly a file's own."""
    for program in PROGRAMS.values():
        for name, asset in program.files.items():
            if path == program.place + name:
                found = folder() / program.wheel / asset.file
                return File(found, asset) if is_installed(program) else None
    return None
