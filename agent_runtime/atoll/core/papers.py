"""What travels with a delegated call, as headers, and the seal on them. Pure.

    X-Atoll-Hops: coordinator@1a2b3c4d,librarian@1a2b3c4d     who called whom, the caller last
    X-Atoll-Deadline-Ms: 29500                                what is left of the time
    X-Atoll-Budget: tokens=1200,calls=7                       and of the rest of the budget
    traceparent: 00-…-…-00                                    W3C Trace Context
    X-Atoll-Seal: 64 hexadecimal digits                       HMAC-SHA256 over the four

The daemon gives its agents a key; their realm is a hash of it. A list whose last
agent claims this realm must bear its seal (attacks.md S41). One of another realm
cannot be checked here and need not be: all that these headers can do is restrict.
"""

import hashlib
import hmac
from collections.abc import Mapping

from msgspec import Struct

from atoll.core.budget import Allowance
from atoll.core.hops import BadHops, Hop, Hops, extended, read_hops, spelled
from atoll.core.trace import Trace, read_trace

HOPS, DEADLINE, BUDGET = b"x-atoll-hops", b"x-atoll-deadline-ms", b"x-atoll-budget"
TRACE, SEAL = b"traceparent", b"x-atoll-seal"
NAMES = frozenset((HOPS, DEADLINE, BUDGET, TRACE, SEAL))
MOST_DIGITS = 15
_SIGNED = (HOPS, DEADLINE, BUDGET, TRACE)
_KEYS = ("tokens", "calls")

Papers = Mapping[bytes, str]


class Seal:
    """What an agent shows of itself to its children; without a key it seals nothing.

    `realm` is that of the fleet for those who have its key, else one's own.
    """

    def __init__(self, key: str, instance: str) -> None:
        self._key = key.encode()
        self.realm = hashlib.sha256(f"realm\0{key or instance}".encode()).hexdigest()[:8]

    def on(self, papers: Papers) -> str:
        """The seal on these papers, "" without a key."""
        return self._mac(papers) if self._key else ""

    def fits(self, papers: Papers) -> bool:
        """Whether the papers bear this seal; without a key nobody can tell."""
        shown = papers.get(SEAL, "").encode("utf-8", "replace")
        return not self._key or hmac.compare_digest(self._mac(papers).encode(), shown)

    def _mac(self, papers: Papers) -> str:
        text = "\n".join(papers.get(name, "") for name in _SIGNED)
        return hmac.new(self._key, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


class Journey(Struct, frozen=True, kw_only=True):
    """How a turn came here: the agents up to this one, the trace, what it may use."""

    hops: Hops = ()
    trace: Trace | None = None
    allowance: Allowance = Allowance()


def papers_of(journey: Journey, seal: Seal, span: str) -> dict[bytes, str]:
    """The headers of a call that the last agent of the journey makes."""
    trace, allowance = journey.trace, journey.allowance
    papers = {HOPS: spelled(journey.hops)}
    if trace is not None:
        papers[TRACE] = trace.parent(span)
    if allowance.seconds is not None:
        papers[DEADLINE] = str(max(1, int(allowance.seconds * 1000)))
    left = zip(_KEYS, (allowance.tokens, allowance.calls), strict=True)
    if told := ",".join(f"{key}={value}" for key, value in left if value is not None):
        papers[BUDGET] = told
    if sealed := seal.on(papers):
        papers[SEAL] = sealed
    return papers


def journey_of(papers: Papers, seal: Seal, me: str) -> Journey:
    """The journey to the agent called `me`, itself last.

    Raises BadHops for what is forged, reordered, cut or none of this, and
    GoesRound where the path is a circle or too long.
    """
    callers = read_hops(papers[HOPS]) if HOPS in papers else ()
    if callers and callers[-1].realm == seal.realm and not seal.fits(papers):
        raise BadHops("the list of agents does not bear the seal of this fleet")
    if SEAL in papers and not callers:
        raise BadHops("a seal without a list of agents")
    return Journey(
        hops=extended(callers, Hop(me, seal.realm)),
        trace=read_trace(papers.get(TRACE, "")),
        allowance=_allowance(papers),
    )


def _allowance(papers: Papers) -> Allowance:
    found: dict[str, int] = {}
    for part in filter(None, papers.get(BUDGET, "").split(",")):
        key, _, value = part.strip().partition("=")
        if key not in _KEYS or key in found:
            raise BadHops(f"the budget knows {' and '.join(_KEYS)}, each at most once")
        found[key] = _number(value)
    deadline = papers.get(DEADLINE)
    seconds = None if deadline is None else _number(deadline) / 1000
    return Allowance(tokens=found.get("tokens"), calls=found.get("calls"), seconds=seconds)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > MOST_DIGITS:
        raise BadHops("deadline and budget are whole numbers")
    return int(text)
