"""What a server offered first holds until the agent restarts (attacks.md S44).

A server could show harmless tools while somebody looks and other ones later.
The model sees the descriptions of the first look for the whole life of the
agent's process; a tool that is offered differently afterwards is refused.
"""

from collections.abc import Sequence

from msgspec import Struct

from atoll.wire.json import JsonObject


class Offer(Struct, frozen=True):
    """A tool as its server offers it, cleaned for the model.

    `digest` is the SHA-256 of everything that the server said of it, uncleaned.
    """

    name: str
    description: str
    parameters: JsonObject
    digest: str


class Pins:
    """The offers of one server's first look, and what became of them."""

    def __init__(self) -> None:
        self._pinned: dict[str, Offer] = {}
        self._looked = False
        self._changed: set[str] = set()
        self._gone: frozenset[str] = frozenset()
        self._late: set[str] = set()

    @property
    def usable(self) -> tuple[Offer, ...]:
        """The tools that exist for the model."""
        out = self._changed | self._gone
        return tuple(offer for name, offer in self._pinned.items() if name not in out)

    @property
    def changed(self) -> tuple[str, ...]:
        """The tools that are refused, in the order of their names."""
        return tuple(sorted(self._changed))

    def look(self, offers: Sequence[Offer]) -> tuple[str, ...]:
        """Pin the first offers, or compare later ones; a sentence for each new difference."""
        found = {offer.name: offer for offer in offers}
        if not self._looked:
            self._looked, self._pinned = True, found
            return ()
        return (*self._differences(found), *self._absences(found), *self._additions(found))

    def refusal(self, name: str) -> str:
        """Why a tool of this name may not be called, or ""."""
        if name in self._changed:
            return (
                f"the server changed the tool {name} after the agent had started;"
                " it is refused until the agent restarts"
            )
        if name not in self._pinned or name in self._gone:
            return f"the server has no tool {name}"
        return ""

    def _differences(self, found: dict[str, Offer]) -> list[str]:
        new = sorted(
            name
            for name, offer in found.items()
            if name in self._pinned
            and offer.digest != self._pinned[name].digest
            and name not in self._changed
        )
        self._changed.update(new)
        return [f"changed its tool {name}: it is refused until the agent restarts" for name in new]

    def _absences(self, found: dict[str, Offer]) -> list[str]:
        gone = frozenset(self._pinned) - frozenset(found)
        new = sorted(gone - self._gone)
        self._gone = gone
        return [f"no longer offers its tool {name}" for name in new]

    def _additions(self, found: dict[str, Offer]) -> list[str]:
        new = sorted(found.keys() - self._pinned.keys() - self._late)
        self._late.update(new)
        return [f"offers a new tool {name}: not used until the agent restarts" for name in new]
