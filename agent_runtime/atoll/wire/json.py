"""The JSON types, precise for the checkers and cheap for msgspec.

msgspec cannot build a decoder for a recursive alias on Python 3.11, so at run
time a JSON value is "anything" and the checkers alone see its real shape.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
    JsonObject = dict[str, JsonValue]
else:
    from typing import Any

    JsonValue = Any
    JsonObject = dict[str, Any]

__all__ = ["JsonObject", "JsonValue"]
