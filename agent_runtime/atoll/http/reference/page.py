"""The reference as one page of HTML: no script, nothing from elsewhere, readable without either."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from html import escape

from atoll.http.reference.example import curl
from atoll.wire.json import JsonObject, JsonValue

_STYLE = """
body{max-width:60rem;margin:2rem auto;padding:0 1rem;font:16px/1.5 system-ui,sans-serif}
body{color:#1c2430;background:#fff}a{color:#0b5cad}
h2{margin-top:2.5rem;border-bottom:1px solid #ccd3dc}
code,summary,th{font-family:ui-monospace,monospace;font-size:.9rem}
details{margin:.4rem 0;padding:.4rem .8rem;border:1px solid #ccd3dc;border-radius:.4rem}
pre{overflow-x:auto;background:#8882;padding:.4rem .8rem}summary{cursor:pointer}
b{display:inline-block;min-width:4rem}
table{border-collapse:collapse;margin:.5rem 0}
th,td{text-align:left;vertical-align:top;padding:.1rem 1.5rem .1rem 0}
@media(prefers-color-scheme:dark){body{color:#dfe5ee;background:#12161c}a{color:#7db8f5}}
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
"""What the page is sent with."""


def page_of(document: JsonObject, base: str, note: str = "") -> str:
    """The page that shows an OpenAPI document which is served at `base`; `note` is said first."""
    info, schemas = _object(document["info"]), _object(_object(document["components"])["schemas"])
    title = escape(str(info["title"]))
    return "".join(
        (
            '<!doctype html><html lang="en"><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{title}</title><style>{_STYLE}</style>",
            f"<h1>{title} {escape(str(info['version']))}</h1>",
            f"<p>{escape(str(info['description']))}</p>",
            f"<p>{_marked(note)}</p>" if note else "",
            '<p>Every route; <a href="/openapi.json">openapi.json</a> for tools.</p>',
            *_groups(_object(document["paths"]), base),
            "<h2>Types</h2>",
            *_types(schemas),
            "</html>",
        )
    )


def _groups(paths: JsonObject, base: str) -> Iterator[str]:
    group = ""
    for path, methods in paths.items():
        for method, operation in _object(methods).items():
            told = _object(operation)
            now = str(next(iter(_list(told.get("tags", []))), "Other"))
            if now != group:
                group = now
                yield f"<h2>{escape(group)}</h2>"
            example = "" if "x-websocket" in told else curl(base, path, method, told)
            yield from _operation(method, path, told, example)


def _operation(method: str, path: str, told: JsonObject, example: str) -> Iterator[str]:
    name = "WS" if "x-websocket" in told else method.upper()
    yield f"<details><summary><b>{name}</b> {escape(path)}</summary>"
    yield f"<p>{_marked(str(told['description']))}</p>"
    yield f"<pre>{escape(example)}</pre><table>" if example else "<table>"
    for parameter in map(_object, _list(told.get("parameters", []))):
        at = f"{parameter['name']} ({parameter['in']})"
        said, needed = str(parameter["description"]), parameter["required"] is True
        yield _row(at, _object(parameter["schema"]), needed=needed, said=said)
    for label, schema in _bodies(told):
        yield _row(label, schema, needed=False)
    yield "</table></details>"


def _bodies(told: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    if "x-websocket" in told:
        frames = _object(told["x-websocket"])
        yield "frames in", _object(frames["client"])
        yield "frames out", _object(frames["server"])
    if "requestBody" in told:
        for content in _object(_object(told["requestBody"])["content"]).values():
            yield "body", _object(_object(content)["schema"])
    for answer in _object(told["responses"]).values():
        for kind, content in _object(_object(answer).get("content", {})).items():
            yield kind, _object(_object(content)["schema"])


def _types(schemas: JsonObject) -> Iterator[str]:
    for name, schema in sorted(schemas.items()):
        told = _object(schema)
        yield f'<details open id="{escape(name)}"><summary>{escape(name)}</summary>'
        yield f"<p>{_marked(str(told.get('description', '')))}</p><table>"
        required = _list(told.get("required", []))
        for field, kind in _object(told.get("properties", {})).items():
            yield _row(field, _object(kind), needed=field in required)
        yield "</table></details>"


def _row(name: str, schema: JsonObject, *, needed: bool, said: str = "") -> str:
    mark = " *" if needed else ""
    return f"<tr><th>{escape(name)}{mark}<td>{_kind(schema)}<td>{_marked(said)}"


def _kind(schema: Mapping[str, JsonValue]) -> str:
    """A schema in words, as HTML."""
    if isinstance(ref := schema.get("$ref"), str):
        name = escape(ref.rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(_kind(_object(one)) for one in _list(schema[several]))
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(one))}</code>" for one in _list(schema["enum"]))
    if schema.get("type") == "array" and "items" in schema:
        return f"list of {_kind(_object(schema['items']))}"
    return escape(str(schema.get("type", "any JSON")))


def _marked(text: str) -> str:
    """A sentence whose backquoted parts are code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts))


def _object(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
