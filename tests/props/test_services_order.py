"""Whatever a request says, a service runs the recipe's program with the recipe's variables."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from atoll.errors import ClientError
from atoll_supervisor.core.services.order import Wish, order_of
from tests.core.test_services_order import OURS, RECIPE

NAMES = st.sampled_from(
    ["MODEL", "LENGTH", "TOKEN", "COLOUR", "LD_PRELOAD", "PATH", "command", "memory", "cpu", "gpu"]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner))
TABLES = st.dictionaries(NAMES | st.text(), VALUES)
CONFIGS = st.fixed_dictionaries(
    {}, optional={"environment": TABLES | VALUES, "resources": TABLES | VALUES, "x": VALUES}
)
ALLOWED = {"COLOUR", "SECRET", "TOKEN"}


@given(CONFIGS)
def test_no_config_changes_the_program_or_adds_a_variable(config: dict[str, object]) -> None:
    body = msgspec.json.encode({"recipe_name": "server", "config": config})
    wish = msgspec.json.decode(body, type=Wish)
    try:
        made = order_of(RECIPE, wish, str)
    except ClientError:
        return
    argv = made.argv(OURS)
    assert argv[0] == "server"
    assert argv[2:4] == ["--port", "9000"]
    assert not argv[1].startswith("-")
    assert set(made.env(OURS)) <= ALLOWED
    assert all("\n" not in word and "\0" not in word for word in argv)
