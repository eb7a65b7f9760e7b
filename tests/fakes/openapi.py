"""What an OpenAPI document must say, the same for an agent and for the daemon."""

from collections.abc import Iterator

import jsonschema
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.fakes.examples import operations

MOST_SUMMARY = 80


def faults_of(document: dict) -> list[str]:
    """Everything that is wrong with it, each with its place."""
    found = [f"{error.json_path}: {error.message}" for error in invalid(document)]
    for path, method, operation in operations(document):
        found += [f"{method} {path}: {fault}" for fault in _of(operation, document)]
    names = [operation["operationId"] for _, _, operation in operations(document)]
    return found + [f"{name}: used twice" for name in names if names.count(name) > 1]


def invalid(document: dict) -> Iterator[jsonschema.ValidationError]:
    """By the OpenAPI Initiative's own schema of version 3.1, and what it cannot say."""
    return OpenAPIV31SpecValidator(document).iter_errors()


def _of(operation: dict, document: dict) -> Iterator[str]:
    yield from (f"no {key}" for key in ("summary", "description", "tags") if not operation.get(key))
    summary = operation.get("summary", "")
    if len(summary) > MOST_SUMMARY or summary.endswith("."):
        yield f"a summary is a few words: {summary}"
    if "security" not in operation:
        yield "does not say whether it needs a token"
    schemes = document["components"].get("securitySchemes", {})
    for name in {name for one in operation.get("security", ()) for name in one}:
        if name not in schemes:
            yield f"the token {name} is not described"
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    yield from (f"the tag {tag} is not described" for tag in operation["tags"] if tag not in tags)
    for one in operation["parameters"]:
        if not one.get("description"):
            yield f"parameter {one['name']}: no description"
        if one["required"] and "example" not in one:
            yield f"parameter {one['name']}: no example"
    for media in operation.get("requestBody", {}).get("content", {}).values():
        yield from (f"body: {fault}" for fault in _unfit(media, document))
    yield from _answers(operation["responses"], document)


def _answers(responses: dict, document: dict) -> Iterator[str]:
    if not any(status.startswith("2") for status in responses):
        yield "no answer"
    if not responses.get("default", {}).get("content"):
        yield "does not say how errors look"
    for status, response in responses.items():
        if not response.get("description") or not response.get("content"):
            yield f"{status}: no description, or no content"
        for kind, media in response.get("content", {}).items():
            yield from (f"{status} {kind}: {fault}" for fault in _unfit(media, document))


def _unfit(media: dict, document: dict) -> Iterator[str]:
    if "example" not in media:
        yield "no example; `python -m tests.fakes.examples` records answers"
    elif media["example"] in (None, {}, ""):
        yield "an empty example"
    else:
        yield from misfits(media["example"], media["schema"], document)


def misfits(value: object, schema: dict, document: dict) -> list[str]:
    """Where a value is not what the schema says."""
    whole = {**schema, "components": document["components"]}
    errors = jsonschema.Draft202012Validator(whole).iter_errors(value)
    return [f"{error.json_path}: {error.message}" for error in errors]
