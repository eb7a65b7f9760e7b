"""The name that a person probably meant."""

from atoll_supervisor.core.nearest import nearest


def test_a_typing_mistake_finds_its_name_in_any_case() -> None:
    assert nearest("GIDRAAGENT", ["custom-agent", "ghidraagent"]) == "ghidraagent"


def test_nothing_close_is_nothing() -> None:
    assert nearest("zzz", ["custom-agent", "ghidraagent"]) == ""
    assert nearest("x", []) == ""
