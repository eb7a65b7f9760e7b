"""The error answers of an operation, as `problems` makes them; Litestar would tell its own."""

from collections.abc import Mapping

from atoll.wire.json import JsonObject
from atoll_supervisor.api.bodies import inside

JSON = "application/json"
_SHAPE: JsonObject = {"$ref": "#/components/schemas/ErrorBody"}
_OTHER = "Any other error, in the same shape"
_UNSHOWN = "The token is missing or wrong"
_WRONG = "The request is wrong; the sentence says where"


def _error(detail: str, code: str, who: str = "client") -> JsonObject:
    return {"detail": detail, "code": code, "who": who}


_EXAMPLES: Mapping[str, JsonObject] = {
    "400": _error("inputs: expected an object", "bad_request"),
    "401": _error("this needs the management token: `atoll token show` prints it", "unauthorized"),
    "404": _error("there is nothing of this name", "not_found"),
    "409": _error("the run has not ended: cancel it first", "still_runs"),
    "415": _error("the body is not application/json", "unsupported_media_type"),
    "422": _error("this key came with another request", "idempotency_key_reused"),
    "503": _error(
        "the disk refuses to remember it: No space left on device", "cannot_be_kept", "atoll"
    ),
    "default": _error("the daemon failed; its log has the reason", "internal", "atoll"),
}
_UNREADY: JsonObject = {
    "success": False,
    "error": "Service not available",
    "message": "The service may still be starting up. Please wait and try again.",
    "details": "127.0.0.1:20000: it is starting",
    "technical_details": "status starting; 127.0.0.1:20000: it is starting",
    "service_id": "1",
    "status": "starting",
    "endpoint": "http://127.0.0.1:20000",
}


def add_errors(operation: JsonObject) -> None:
    """Give each error its body's type and an example, and say how any other error looks."""
    responses = inside(operation, "responses")
    inside(responses, "default")["description"] = _OTHER
    if operation["security"]:
        inside(responses, "401").setdefault("description", _UNSHOWN)
    for status in responses:
        response = inside(responses, status)
        if status.startswith("2"):
            continue
        media = inside(response, "content", JSON)
        if "NotAnswered" in str(media.get("schema")):
            media["example"] = {**_UNREADY, "http_status": int(status)}
        else:
            media["schema"], media["example"] = _SHAPE, _EXAMPLES.get(status, _EXAMPLES["default"])
        if status == "400":
            response["description"] = _WRONG
