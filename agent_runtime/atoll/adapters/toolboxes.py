"""Several toolboxes as one: the functions of tools.py, the tools of servers, and others."""

from collections.abc import Sequence

from atoll.ports import Outcome, Toolbox
from atoll.wire.messages import Call, ToolSpec


class Toolboxes:
    """Toolboxes by the name of their source; on a name clash the first one's tool is meant."""

    def __init__(self, boxes: Sequence[tuple[str, Toolbox]]) -> None:
        self._boxes = tuple(boxes)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """Every tool once."""
        found: dict[str, ToolSpec] = {}
        for _, box in self._boxes:
            for spec in box.specs:
                found.setdefault(spec.name, spec)
        return tuple(found.values())

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of every toolbox, and the tools that are left out for their names."""
        own = [words for _, box in self._boxes for words in box.warnings]
        return (*own, *self._clashes())

    async def call(self, call: Call) -> Outcome:
        """Run the tool in the first toolbox that has it, in the last one when none has."""
        *others, (_, last) = self._boxes
        named = (box for _, box in others if any(spec.name == call.name for spec in box.specs))
        return await next(named, last).call(call)

    async def close(self) -> None:
        """Close them all, the last one first."""
        for _, box in reversed(self._boxes):
            await box.close()

    def _clashes(self) -> list[str]:
        owner: dict[str, str] = {}
        named = [(source, spec.name) for source, box in self._boxes for spec in box.specs]
        return [
            f"{first} and {source} both have a tool called {name}:"
            f" that of {source} is left out; rename one of them"
            for source, name in named
            if (first := owner.setdefault(name, source)) != source
        ]
