"""Several toolboxes as one."""

import pytest

from atoll.adapters.toolboxes import Toolboxes
from atoll.ports import Outcome
from atoll.wire.messages import Call
from tests.fakes.ports import FakeTools

pytestmark = pytest.mark.anyio


async def test_each_call_goes_to_the_toolbox_that_has_the_tool() -> None:
    one, other = FakeTools(a="1"), FakeTools(b="2")
    tools = Toolboxes((("one", one), ("other", other)))
    assert [spec.name for spec in tools.specs] == ["a", "b"]
    assert await tools.call(Call("1", "a", {})) == Outcome("1")
    assert await tools.call(Call("2", "b", {})) == Outcome("2")
    assert (await tools.call(Call("3", "c", {}))).failed


async def test_a_clash_of_names_is_told_and_the_first_is_meant() -> None:
    one, other = FakeTools(a="1"), FakeTools(a="2", b="3")
    other.troubles = ("something is wrong",)
    tools = Toolboxes((("tools.py", one), ("[mcp_servers]", other)))
    assert await tools.call(Call("1", "a", {})) == Outcome("1")
    trouble, clash = tools.warnings
    assert trouble == "something is wrong"
    assert clash.startswith("tools.py and [mcp_servers] both have a tool called a: that of [mcp_")
