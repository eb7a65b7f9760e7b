"""When a stream gets colours."""

import pytest

from atoll_supervisor.cli.terminal import wants_colour


@pytest.mark.parametrize(
    ("environ", "terminal", "wanted"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True),
        ({"CLICOLOR": "0"}, True, False),
    ],
)
def test_the_variables_are_honoured(environ: dict[str, str], terminal: bool, wanted: bool) -> None:
    assert wants_colour(environ, terminal) is wanted
