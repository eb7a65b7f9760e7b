"""Litestar's document made whole: words, examples, errors as they are, and who needs which token.

Litestar knows paths, parameters and types. It does not know what an answer looks like, that
errors here are `ErrorBody` and not its own, nor what the guards let pass.
"""

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from importlib import resources

import msgspec
from litestar.routes import BaseRoute, HTTPRoute

from atoll.http.reference.operation import NAME
from atoll.http.reference.told import Answers
from atoll.wire.json import JsonObject, JsonValue
from atoll_supervisor.api.auth import BY_TOKEN, Access
from atoll_supervisor.api.bodies import add_body, inside
from atoll_supervisor.api.errors import add_errors
from atoll_supervisor.api.summaries import SUMMARIES

JSON = "application/json"
_OF_LITESTAR = frozenset((HTTPStatus.OK.description, HTTPStatus.CREATED.description))
"""What Litestar says of an answer of which it knows nothing else."""
AGENTS: list[dict[str, list[str]]] = [{"agents": []}]


def answers() -> Answers:
    """What a daemon answered when the examples were sent to it."""
    file = resources.files("atoll_supervisor.api") / "answers.json"
    return msgspec.json.decode(file.read_bytes(), type=Answers)


def complete(document: JsonObject, routes: Sequence[BaseRoute], access: Access) -> JsonObject:
    """The document, and in it all that Litestar does not know."""
    given, wanted = answers(), dict(_tokens(routes, access))
    schemas = inside(document, "components", "schemas")
    for path, methods in inside(document, "paths").items():
        assert isinstance(methods, dict)
        for method in methods:
            operation = inside(methods, method)
            name = str(operation["operationId"])
            operation["summary"] = SUMMARIES.get(name, operation.get("summary"))
            operation["security"] = msgspec.convert(wanted[path, method], list[JsonValue])
            add_body(operation, schemas)
            _add_parameters(operation, path, given)
            _add_answers(operation, given.get(name, {}))
            add_errors(operation)
    return document


def _tokens(
    routes: Sequence[BaseRoute], access: Access
) -> Iterator[tuple[tuple[str, str], list[dict[str, list[str]]]]]:
    """Path, method, and the ways to show the token that its guard wants to see."""
    by_token = BY_TOKEN if access.token is not None else []
    for route in routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            if handler.opt.get("public"):
                wanted: list[dict[str, list[str]]] = []
            elif handler.opt.get("work"):
                wanted = [*AGENTS, *by_token] if access.work_token else []
            else:
                wanted = by_token
            for method in handler.http_methods:
                yield (route.path_format, method.lower()), wanted


def _add_parameters(operation: JsonObject, path: str, given: Answers) -> None:
    parameters = operation.setdefault("parameters", [])
    assert isinstance(parameters, list)
    for parameter in parameters:
        assert isinstance(parameter, dict)
        parameter.setdefault("required", False)
        if parameter["in"] == "path":
            parameter["example"] = _example_of(str(parameter["name"]), path, given)


def _example_of(name: str, path: str, given: Answers) -> JsonValue:
    """The ids are those that the answers shown have."""
    match name:
        case "run_id":
            return _told(given, "run_agent", name)
        case "batch_id":
            return _told(given, "run_batch", name)
        case "recipe":
            return "inference/vllm"
        case _ if path.startswith("/api/v1/agents/"):
            return NAME
        case _:
            return _told(given, "create_service", "id")


def _told(given: Answers, operation: str, field: str) -> JsonValue:
    answer = given[operation][JSON]
    assert isinstance(answer, dict)
    return answer[field]


def _add_answers(operation: JsonObject, given: Mapping[str, JsonValue]) -> None:
    for status, response in inside(operation, "responses").items():
        if status.startswith("2"):
            assert isinstance(response, dict)
            if response["description"] in _OF_LITESTAR:
                response["description"] = "The answer"
            for kind in inside(response, "content"):
                if kind in given:
                    inside(response, "content", kind)["example"] = given[kind]
