"""What a server offered first holds until the agent restarts."""

from atoll.adapters.mcp.pins import Offer, Pins


def offer(name: str, digest: str = "1") -> Offer:
    return Offer(name, f"does {name}", {"type": "object"}, digest)


def names(pins: Pins) -> list[str]:
    return [offer.name for offer in pins.usable]


def test_the_first_look_pins_and_the_same_again_says_nothing() -> None:
    pins = Pins()
    assert pins.look([offer("a"), offer("b")]) == ()
    assert pins.look([offer("b"), offer("a")]) == ()
    assert names(pins) == ["a", "b"]
    assert pins.refusal("a") == ""


def test_a_changed_tool_is_refused_even_when_it_changes_back() -> None:
    pins = Pins()
    pins.look([offer("a"), offer("b")])
    assert pins.look([offer("a", "2"), offer("b")]) == (
        "changed its tool a: it is refused until the agent restarts",
    )
    assert pins.look([offer("a"), offer("b")]) == ()
    assert names(pins) == ["b"]
    assert "refused until the agent restarts" in pins.refusal("a")
    assert pins.changed == ("a",)


def test_a_tool_that_goes_and_comes_back_the_same_is_used_again() -> None:
    pins = Pins()
    pins.look([offer("a"), offer("b")])
    assert pins.look([offer("b")]) == ("no longer offers its tool a",)
    assert names(pins) == ["b"]
    assert "has no tool a" in pins.refusal("a")
    assert pins.look([offer("a"), offer("b")]) == ()
    assert names(pins) == ["a", "b"]


def test_a_tool_that_goes_and_comes_back_different_is_refused() -> None:
    pins = Pins()
    pins.look([offer("a")])
    pins.look([])
    pins.look([offer("a", "2")])
    assert pins.changed == ("a",)


def test_a_late_tool_is_told_once_and_not_used() -> None:
    pins = Pins()
    pins.look([offer("a")])
    told = pins.look([offer("a"), offer("z")])
    assert told == ("offers a new tool z: not used until the agent restarts",)
    assert pins.look([offer("a"), offer("z", "2")]) == ()
    assert names(pins) == ["a"]
    assert "has no tool z" in pins.refusal("z")


def test_a_server_that_offered_nothing_at_first_gets_no_tools_later() -> None:
    pins = Pins()
    pins.look([])
    assert len(pins.look([offer("a")])) == 1
    assert names(pins) == []
