"""Flock's signatures, `name: type | description, …`: a closed grammar, read without eval.

    both        = signature "->" signature
    signature   = field *("," field)
    field       = name [":" type] ["|" description]
    type        = plain ["?"]
    plain       = "str" / "int" / "float" / "bool" / "list[" type "]" / "dict[" key "," type "]"
                / "Literal[" constant *("," constant) "]" / "Optional[" type "]"
    key         = "str" / "int" / "Literal[" constant *("," constant) "]"

A field without a type is a `str`. Brackets and quotes protect commas, and in `both`
arrows, also in a description; an apostrophe within a word is none. Nothing else parses,
and every mistake is told with its place and what mends it (seeds-contract.md 3.2).
"""

import re
from functools import lru_cache

from atoll.config.signature_types import (
    Choice,
    Constant,
    DictOf,
    Field,
    ListOf,
    Maybe,
    Plain,
    Signature,
    Type,
)
from atoll.config.suggest import did_you_mean, shown

MAX_SIGNATURE = 16_384
"""Characters of a signature."""
MAX_FIELDS = 64
MAX_DEPTH = 16
MAX_CHOICES = 256
MAX_NAME = 64

_NAME = re.compile(r"[^\W\d]\w*")
_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"-?[0-9]{1,18}(?![\w.])")
_STRING = re.compile(r"'([^'\\]*)'|\"([^\"\\]*)\"")
_PROSE = re.compile(r"[^,()\[\]{}\"'-]+")
_ARROW = "->"
_CLOSES = {"(": ")", "[": "]", "{": "}"}
_WORDS = ("str", "int", "float", "bool", "list", "dict", "Literal", "Optional")
_KNOWN = "the types are str, int, float, bool, list[T], dict[K, V], Literal[…] and T?"
_CONSTANTS: dict[str, Constant] = {"True": True, "False": False, "None": None}


class SignatureError(ValueError):
    """A signature that does not parse; `at` counts characters from 1."""

    def __init__(self, at: int, message: str, hint: str) -> None:
        super().__init__(f"at character {at}: {message}; {hint}")
        self.at = at
        self.message = message
        self.hint = hint


@lru_cache(maxsize=1024)
def parse_signature(text: str) -> Signature:
    """The fields of a signature; raises SignatureError."""
    return Signature(_reader(text).fields())


@lru_cache(maxsize=1024)
def split_signature(text: str) -> tuple[str, str]:
    """The two signatures of `input -> output`, as they are written; raises SignatureError."""
    reader = _reader(text, has_arrow=True)
    reader.fields()
    begin, end = reader.arrow()
    reader.fields()
    reader.end()
    return text[:begin].strip(), text[end:].strip()


def _reader(text: str, *, has_arrow: bool = False) -> "_Reader":
    if len(text) > MAX_SIGNATURE:
        fix = f"at most {MAX_SIGNATURE} are read"
        raise SignatureError(MAX_SIGNATURE, f"the signature has {len(text)} characters", fix)
    return _Reader(text, has_arrow)


class _Reader:
    """A place in the text, and what may stand there; an arrow may only with `has_arrow`."""

    def __init__(self, text: str, has_arrow: bool) -> None:
        self._text = text
        self._has_arrow = has_arrow
        self._at = 0

    def fields(self) -> tuple[Field, ...]:
        found: dict[str, Field] = {}
        while True:
            begin = self._skip()
            field = self._field()
            if field.name in found:
                fix = "give each field a name of its own"
                raise self._error(f"`{shown(field.name)}` is there twice", fix, begin)
            found[field.name] = field
            if len(found) > MAX_FIELDS:
                raise self._error(f"more than {MAX_FIELDS} fields", "use fewer, or a dict", begin)
            if not self._takes(","):
                return tuple(found.values())

    def arrow(self) -> tuple[int, int]:
        """Where the arrow begins and ends, which has to stand here."""
        begin = self._skip()
        self._expect(_ARROW, "write `query: str -> result: str`")
        return begin, self._at

    def end(self) -> None:
        """Nothing may stand here."""
        if self._skip() < len(self._text):
            fix = "put quotes around the one that is part of a description"
            raise self._error(f"there is a second `{_ARROW}`", fix)

    def _field(self) -> Field:
        name = self._name("a field begins with its name, as in `query: str | What to look for`")
        kind: Type = Plain("str")
        words = "str"
        if self._takes(":"):
            begin = self._skip()
            kind = self._type(0)
            words = self._text[begin : self._at].strip()
        description = self._description() if self._takes("|") else ""
        if self._skip() < len(self._text) and not self._ends_field():
            raise self._unexpected()
        return Field(name, kind, words, description)

    def _name(self, fix: str) -> str:
        begin = self._skip()
        found = _NAME.match(self._text, begin)
        if found is None:
            rest = self._text[begin : begin + 12]
            got = f"`{shown(rest)}` is no name" if rest else "a name is missing"
            raise self._error(got, f"{fix}; a comma begins a new field", begin)
        if len(found[0]) > MAX_NAME:
            raise self._error("the name is too long", f"use at most {MAX_NAME} characters", begin)
        self._at = found.end()
        return found[0]

    def _type(self, depth: int) -> Type:
        begin = self._skip()
        if depth > MAX_DEPTH:
            fix = f"at most {MAX_DEPTH} levels are read"
            raise self._error("the type is nested too deeply", fix, begin)
        kind = self._plain(self._name("expected a type such as `str` or `list[str]`"), depth, begin)
        while self._takes("?"):
            kind = kind if isinstance(kind, Maybe) else Maybe(kind)
        return kind

    def _plain(self, word: str, depth: int, begin: int) -> Type:
        match word:
            case "str" | "int" | "float" | "bool":
                return Plain(word)
            case "list":
                (item,) = self._parts(word, 1, depth)
                return ListOf(item)
            case "Optional":
                (inner,) = self._parts(word, 1, depth)
                return inner if isinstance(inner, Maybe) else Maybe(inner)
            case "dict":
                return self._dict(depth, begin)
            case "Literal":
                return self._choice()
            case _:
                near = did_you_mean(word, _WORDS) or _KNOWN
                raise self._error(f"`{shown(word)}` is no type", near, begin)

    def _dict(self, depth: int, begin: int) -> DictOf:
        key, value = self._parts("dict", 2, depth)
        match key:
            case Choice() | Plain("str" | "int"):
                return DictOf(key, value)
            case _:
                fix = "write `dict[str, …]`"
                raise self._error("a dict's keys are str, int or Literal", fix, begin)

    def _parts(self, word: str, count: int, depth: int) -> list[Type]:
        self._expect("[", f"write `{_EXAMPLES[word]}`")
        parts = [self._type(depth + 1)]
        while self._takes(","):
            parts.append(self._type(depth + 1))
        self._expect("]", f"write `{_EXAMPLES[word]}`")
        if len(parts) != count:
            given = "1 part" if len(parts) == 1 else f"{len(parts)} parts"
            raise self._error(f"{word} has {given}", f"write `{_EXAMPLES[word]}`")
        return parts

    def _choice(self) -> Choice:
        fix = f"write `{_EXAMPLES['Literal']}`"
        self._expect("[", fix)
        values = [self._constant(fix)]
        while self._takes(","):
            values.append(self._constant(fix))
            if len(values) > MAX_CHOICES:
                raise self._error(f"more than {MAX_CHOICES} choices", "use str")
        self._expect("]", fix)
        return Choice(tuple(values))

    def _constant(self, fix: str) -> Constant:
        begin = self._skip()
        if found := _STRING.match(self._text, begin):
            self._at = found.end()
            return found[1] if found[2] is None else found[2]
        if found := _NUMBER.match(self._text, begin):
            self._at = found.end()
            return int(found[0])
        found = _NAME.match(self._text, begin)
        if found is None or found[0] not in _CONSTANTS:
            said = "a choice is a string in quotes, a whole number, True, False or None"
            raise self._error(said, fix, begin)
        self._at = found.end()
        return _CONSTANTS[found[0]]

    def _description(self) -> str:
        begin = self._at
        opened: list[int] = []
        while self._at < len(self._text):
            if not opened and self._ends_field():
                break
            self._prose(self._text[self._at], opened)
        if opened:
            char = self._text[opened[-1]]
            fix = f"close it with `{_CLOSES[char]}`, or leave it out"
            raise self._error(f"`{char}` is never closed", fix, opened[-1])
        return self._text[begin : self._at].strip()

    def _prose(self, char: str, opened: list[int]) -> None:
        """Pass over one run of a description."""
        match char:
            case "(" | "[" | "{":
                opened.append(self._at)
                self._at += 1
            case ")" | "]" | "}":
                if not opened or _CLOSES[self._text[opened.pop()]] != char:
                    raise self._error(f"`{char}` closes nothing", "open it, or leave it out")
                self._at += 1
            case '"' | "'":
                self._quoted(char)
            case ",":
                self._at += 1
            case _:
                found = _PROSE.match(self._text, self._at)
                self._at = found.end() if found else self._at + 1

    def _quoted(self, char: str) -> None:
        begin = self._at
        if char == "'" and begin and self._text[begin - 1].isalnum():
            self._at += 1  # the apostrophe of "the user's"
            return
        end = self._text.find(char, begin + 1)
        if end < 0:
            raise self._error(f"`{char}` is never closed", "close it, or leave it out", begin)
        self._at = end + 1

    def _ends_field(self) -> bool:
        """Whether a comma stands here, or the arrow if there is one to come."""
        found = self._text.startswith(_ARROW, self._at) and self._has_arrow
        return found or self._text[self._at] == ","

    def _unexpected(self) -> SignatureError:
        if self._text.startswith(_ARROW, self._at):
            return self._error(
                f"`{_ARROW}` is not expected here",
                "the key `signature` takes an input and an output in one string",
            )
        got = shown(self._text[self._at])
        fix = "a field is `name: type | description`, and a comma begins the next one"
        return self._error(f"`{got}` is not expected here", fix)

    def _skip(self) -> int:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._at

    def _takes(self, char: str) -> bool:
        if self._text.startswith(char, self._skip()):
            self._at += len(char)
            return True
        return False

    def _expect(self, char: str, fix: str) -> None:
        if not self._takes(char):
            raise self._error(f"expected `{char}`", fix)

    def _error(self, message: str, fix: str, at: int | None = None) -> SignatureError:
        return SignatureError((self._at if at is None else at) + 1, message, fix)


_EXAMPLES = {
    "list": "list[str]",
    "dict": "dict[str, int]",
    "Optional": "Optional[str]",
    "Literal": "Literal['a', 'b']",
}
