"""The table that a person reads, and the document that a program reads."""

from collections import Counter
from collections.abc import Sequence
from typing import assert_never

import msgspec
from msgspec import Struct

from atoll_conformance.run import Outcome, Target
from atoll_conformance.verdict import Fail, NotApplicable, Pass, Verdict

_ID, _TITLE = 4, 38
_COLOURS = {"pass": "32", "FAIL": "1;31", "n/a": "2"}


class Line(Struct, frozen=True):
    """A row in the JSON document."""

    id: str
    check: str
    expected: str
    verdict: Verdict


class Document(Struct, frozen=True):
    """What `--json` prints."""

    url: str
    model: str
    total: int
    passed: int
    failed: int
    not_applicable: int
    rows: list[Line]


def counts(outcomes: Sequence[Outcome]) -> tuple[int, int, int]:
    """How many rows passed, failed, and did not apply."""
    kinds = Counter(_word(outcome.verdict) for outcome in outcomes)
    return kinds["pass"], kinds["FAIL"], kinds["n/a"]


def total(outcomes: Sequence[Outcome]) -> str:
    """The last line of the table."""
    passed, failed, skipped = counts(outcomes)
    return f"{passed} of {len(outcomes)} pass, {failed} fail, {skipped} not applicable"


def line(outcome: Outcome, colours: bool) -> str:
    """A row of the table; one that failed takes three lines."""
    row, word = outcome.row, _word(outcome.verdict)
    shown = f"\x1b[{_COLOURS[word]}m{word:<4}\x1b[0m" if colours else f"{word:<4}"
    text = f"{row.id:<{_ID}} {row.title:<{_TITLE}} {shown}"
    verdict = outcome.verdict
    match verdict:
        case Pass():
            return text.rstrip()
        case NotApplicable(why):
            return f"{text} {why}"
        case Fail(expected, came):
            return f"{text}\n     expected  {expected}\n     came      {came}"
        case _:
            assert_never(verdict)


def document(target: Target, outcomes: Sequence[Outcome]) -> bytes:
    """The outcomes as one JSON document."""
    passed, failed, skipped = counts(outcomes)
    rows = [Line(o.row.id, o.row.title, o.row.expected, o.verdict) for o in outcomes]
    whole = Document(target.url, target.model, len(rows), passed, failed, skipped, rows)
    return msgspec.json.format(msgspec.json.encode(whole), indent=2)


def _word(verdict: Verdict) -> str:
    match verdict:
        case Pass():
            return "pass"
        case Fail():
            return "FAIL"
        case NotApplicable():
            return "n/a"
        case _:
            assert_never(verdict)
