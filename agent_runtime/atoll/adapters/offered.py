"""Calls of tools that nobody offered, which some models make up."""

from atoll.errors import UpstreamGarbage
from atoll.ports import CallsDelta, Chunk, ModelRequest, TextDelta


class Offered:
    """Watches one answer: calls pass only when the request offered tools.

    A request with tools lets every call through, for a wrong name is answered
    to the model by the loop.
    """

    def __init__(self, request: ModelRequest, where: str) -> None:
        self._tools = bool(request.tools)
        self._where = where
        self._said = False
        self._dropped = ""

    def passes(self, chunk: Chunk) -> bool:
        """Whether the chunk is for the caller."""
        match chunk:
            case CallsDelta(calls) if not self._tools:
                self._dropped = ", ".join(call.name for call in calls)
                return False
            case TextDelta():
                self._said = True
            case _:
                pass
        return True

    def end(self) -> None:
        """Raise UpstreamGarbage when the answer was nothing but such calls."""
        if self._dropped and not self._said:
            raise UpstreamGarbage(
                f"the model of {self._where} said nothing but called a tool"
                f" that was not offered: {self._dropped}"
            )
