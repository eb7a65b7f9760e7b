"""What a machine can give a service, what it gives less of and says so, and what it refuses."""

import pytest

from atoll.errors import ClientError
from atoll_supervisor.core.services.amounts import Resources
from atoll_supervisor.core.services.capacity import BEYOND, Machine, warnings_of

GIB = 1024**3
SMALL = Machine(cpus=2, memory=16 * GIB, gpus=0)
LARGE = Machine(cpus=64, memory=512 * GIB, gpus=4)


@pytest.mark.parametrize(
    "asked",
    [
        Resources(),
        Resources(cpu=64, memory=512 * GIB, gpu=4, time_limit=10**9),
        Resources(cpu=0.5, memory=1),
        Resources(most_cpu=999, most_memory=9 * 1024**4),
    ],
)
def test_what_there_is_is_given_without_a_word(asked: Resources) -> None:
    assert warnings_of(asked, LARGE) == ()


def test_the_requests_of_the_source_page_are_taken_on_a_small_machine_that_says_what_it_lacks() -> (
    None
):
    page = Resources(cpu=8, memory=32 * GIB, gpu=1, time_limit=60)
    less = "it gets no more than that"
    assert warnings_of(page, SMALL) == (
        f"config.resources.cpu: 8 is asked for, and this machine has 2: {less}",
        f"config.resources.memory: 32G is asked for, and this machine has 16G: {less}",
        "config.resources.gpu: 1 is asked for, and this machine has none: the server runs without",
    )


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Resources(memory=1024**4), "config.resources.memory: 1T is asked for, and this machine"),
        (Resources(memory=BEYOND["memory"] * SMALL.memory + 1), "this machine has 16G"),
        (Resources(cpu=200), "config.resources.cpu: 200 is asked for, and this machine has 2"),
        (Resources(cpu=32.001), "up to 16 times may be asked for"),
        (Resources(gpu=2), "config.resources.gpu: 2 are asked for, and this machine has none"),
        (Resources(nodes=2), "config.resources.nodes: 2 are asked for, and this machine is 1"),
    ],
)
def test_the_impossible_is_refused_with_what_there_is_and_what_to_do(
    asked: Resources, told: str
) -> None:
    with pytest.raises(ClientError) as refused:
        warnings_of(asked, SMALL)
    assert told in str(refused.value)
    assert 'ask for less, or for another engine, such as "engine": "slurm"' in str(refused.value)
    assert refused.value.status == 400


def test_more_gpus_than_there_are_are_refused() -> None:
    with pytest.raises(ClientError, match="8 are asked for, and this machine has 4;"):
        warnings_of(Resources(gpu=8), LARGE)
