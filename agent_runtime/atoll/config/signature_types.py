"""What a signature says: its fields, and the types of the closed grammar. Values only."""

from typing import Literal

from msgspec import Struct

Constant = str | int | bool | None


class Plain(Struct, frozen=True):
    """A type without parts."""

    word: Literal["str", "int", "float", "bool"]


class ListOf(Struct, frozen=True):
    """`list[T]`."""

    item: "Type"


class DictOf(Struct, frozen=True):
    """`dict[K, V]`; in JSON every key is a string."""

    key: "Plain | Choice"
    value: "Type"


class Choice(Struct, frozen=True):
    """`Literal[…]`."""

    values: tuple[Constant, ...]


class Maybe(Struct, frozen=True):
    """`Optional[T]` or `T?`: may be null, and left out."""

    inner: "Type"


Type = Plain | ListOf | DictOf | Choice | Maybe


class Field(Struct, frozen=True):
    """One field; `words` is its type as it was written."""

    name: str
    type: Type
    words: str = "str"
    description: str = ""

    @property
    def is_optional(self) -> bool:
        """Whether it may be left out."""
        return isinstance(self.type, Maybe)


class Signature(Struct, frozen=True):
    """The fields, in the order in which they were written."""

    fields: tuple[Field, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The fields' names."""
        return tuple(field.name for field in self.fields)
