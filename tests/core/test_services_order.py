"""From a recipe and a request to a command line: what a request may say, and what it may not."""

import msgspec
import pytest
from msgspec.structs import replace

from atoll.errors import ClientError
from atoll.wire.json import JsonObject, JsonValue
from atoll_supervisor.core.services.amounts import KEYS, Resources, memory_of
from atoll_supervisor.core.services.order import (
    MAX_VALUE,
    Order,
    Wish,
    order_of,
)
from atoll_supervisor.core.services.recipe import Amounts, Parameter, Recipe
from atoll_supervisor.core.services.showing import config_shown, recipe_shown

RECIPE = Recipe(
    name="server",
    command=("server", "{MODEL}", "--port", "{port}"),
    environment={"COLOUR": "blue", "SECRET": "{key}"},
    resources=Amounts(cpu=2, memory="4G", gpu=1, time_limit=60),
    limits=Amounts(nodes=1, cpu=8, memory="32G", gpu=2, time_limit=90),
    parameters={
        "MODEL": Parameter(default="small"),
        "LENGTH": Parameter(type="integer", minimum=1, maximum=100, flag="--length"),
        "SHARE": Parameter(type="float", flag="--share", minimum=0, maximum=1),
        "EAGER": Parameter(type="boolean", flag="--eager"),
        "KIND": Parameter(choices=("a", "b"), flag="--kind"),
        "TOKEN": Parameter(description="of the hub"),
        "title": Parameter(location="root", flag="--title"),
        "weights": Parameter(type="gguf", location="root", flag="--weights"),
    },
)
OURS = {"port": "9000", "key": "k", "host": "127.0.0.1"}


def order(config: JsonObject | None = None) -> Order:
    def find(name: str) -> str:
        return f"/models/{name}.gguf"

    return order_of(RECIPE, Wish(recipe_name="server", config=config or {}), find)


def argv(**environment: JsonValue) -> list[str]:
    return order({"environment": dict(environment)}).argv(OURS)


def test_without_wishes_the_recipe_is_run_with_its_defaults() -> None:
    made = order()
    assert made.argv(OURS) == ["server", "small", "--port", "9000"]
    assert made.env(OURS) == {"COLOUR": "blue", "SECRET": "k"}
    assert made.resources == Resources(cpu=2, memory=4 * 1024**3, gpu=1, time_limit=60)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"MODEL": "gpt2"}, ["server", "gpt2", "--port", "9000"]),
        ({"LENGTH": "7"}, ["--length", "7"]),
        ({"LENGTH": 7}, ["--length", "7"]),
        ({"SHARE": 0.5}, ["--share", "0.5"]),
        ({"SHARE": 1e-7}, ["--share", "1e-07"]),
        ({"SHARE": "2.5E-3"}, ["--share", "2.5E-3"]),
        ({"SHARE": 0.00012345678901234567}, ["--share", "0.00012345678901234567"]),
        ({"EAGER": True}, ["--eager"]),
        ({"EAGER": "false"}, []),
        ({"KIND": "b"}, ["--kind", "b"]),
        ({"MODEL": None}, ["server", "small", "--port", "9000"]),
    ],
)
def test_a_value_goes_where_the_recipe_puts_it(given: JsonObject, words: list[str]) -> None:
    made = argv(**given)
    assert made[len(made) - len(words) :] == words


def test_a_value_is_never_read_as_a_place() -> None:
    """`{port}` in a request is text, and so is a second pass over what was filled in."""
    assert argv(MODEL="{key}{port}")[1] == "{key}{port}"
    assert order({"environment": {"TOKEN": "{key}"}}).env(OURS)["TOKEN"] == "{key}"


def test_what_is_on_no_command_line_is_a_variable_and_one_of_the_recipe_can_be_changed() -> None:
    made = order({"environment": {"TOKEN": "t", "COLOUR": "red"}})
    assert made.env(OURS) == {"COLOUR": "red", "SECRET": "k", "TOKEN": "t"}
    assert "MODEL" not in made.env(OURS)


def test_root_parameters_stand_in_the_config_itself() -> None:
    made = order({"title": "T", "weights": "smol"}).argv(OURS)
    assert made[-4:] == ["--title", "T", "--weights", "/models/smol.gguf"]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"environment": {"LD_PRELOAD": "x.so"}}, "no `LD_PRELOAD`"),
        ({"environment": {"PATH": "/tmp"}}, "no `PATH`"),
        ({"environment": {"MODLE": "x"}}, "MODEL"),
        ({"environment": {"model": "x"}}, "did you mean `MODEL`?"),
        ({"environment": {"MODEL": "--trust-remote-code"}}, "begin with a dash"),
        ({"environment": {"MODEL": ""}}, "must not be empty"),
        ({"environment": {"MODEL": "a\0b"}}, "control"),
        ({"environment": {"MODEL": "a\nb"}}, "control"),
        ({"environment": {"COLOUR": "a\nLD_PRELOAD=x"}}, "control"),
        ({"environment": {"MODEL": "m" * (MAX_VALUE + 1)}}, "at most"),
        ({"environment": {"MODEL": ["x"]}}, "expected a string"),
        ({"environment": {"LENGTH": "0"}}, "at least 1 and at most 100"),
        ({"environment": {"LENGTH": "101"}}, "at least 1 and at most 100"),
        ({"environment": {"LENGTH": "7; rm"}}, "expected a number"),
        ({"environment": {"LENGTH": "\u0667"}}, "expected a number"),
        ({"environment": {"SHARE": "nan"}}, "expected a number"),
        ({"environment": {"SHARE": "1e9"}}, "at least 0 and at most 1"),
        ({"environment": {"SHARE": "1e999"}}, "expected a number (float)"),
        ({"environment": {"SHARE": "e5"}}, "expected a number (float)"),
        ({"environment": {"LENGTH": "1e1"}}, "expected a number (integer)"),
        ({"environment": {"EAGER": "perhaps"}}, "true or false"),
        ({"environment": {"KIND": "c"}}, "one of a, b"),
        ({"environment": "x"}, "expected an object"),
        ({"command": ["sh", "-c", "id"]}, "no `command`"),
        ({"image": "evil.sif"}, "no `image`"),
        ({"resources": {"cpu": "9"}}, "more than the 8"),
        ({"resources": {"memory": "33G"}}, "more than the 32G"),
        ({"resources": {"memory": "-5G"}}, "not a size"),
        ({"resources": {"memory": "0"}}, "a size above 0"),
        ({"resources": {"memory": "lots"}}, "not a size"),
        ({"resources": {"memory": True}}, "resources"),
        ({"resources": {"cpu": "0"}}, "above 0"),
        ({"resources": {"cpu": "-1"}}, "number of CPUs"),
        ({"resources": {"gpu": 3}}, "more than the 2"),
        ({"resources": {"gpu": "one"}}, "a whole number"),
        ({"resources": {"time_limit": -1}}, "a whole number"),
        ({"resources": {"nodes": 0}}, "above 0"),
        ({"resources": {"nodes": 2}}, "nodes: 2 is more than the 1 that"),
        ({"resources": {"time_limit": 91}}, "time_limit: 91 is more than the 90 that"),
        (
            {"resources": {"time_limit": 0}},
            "config.resources.time_limit: 0 means without limit, which is more than the 90 that",
        ),
        ({"resources": {"time_limit": "00"}}, "without limit"),
        ({"resources": {"storage": "900T"}}, "no `storage`"),
        ({"resources": {"disk": "1G"}}, "no `disk`"),
        ({"resources": []}, "expected an object"),
    ],
)
def test_what_a_recipe_does_not_allow_is_refused_by_its_name(config: JsonObject, told: str) -> None:
    with pytest.raises(ClientError, match=r"config|environment|resources") as refused:
        order(config)
    assert told in str(refused.value)
    assert refused.value.status == 400


def test_null_gpus_are_none_as_the_page_has_it_and_any_other_null_is_as_left_out() -> None:
    """Else null were a way around the limits."""
    asked: JsonObject = dict.fromkeys(KEYS)
    assert order({"resources": asked}).resources == replace(order().resources, gpu=0)


@pytest.mark.parametrize("asked", [{}, dict.fromkeys(KEYS)])
def test_where_nobody_says_how_much_the_limit_holds_and_is_not_asked_for(asked: JsonObject) -> None:
    recipe = replace(RECIPE, resources=Amounts())
    made = order_of(recipe, Wish(recipe_name="r", config={"resources": asked}), str)
    assert made.resources == Resources(most_cpu=8, most_memory=32 * 1024**3, time_limit=90)


@pytest.mark.parametrize("recipe", [RECIPE, replace(RECIPE, resources=Amounts(), limits=Amounts())])
def test_an_order_is_written_as_it_was_read(recipe: Recipe) -> None:
    """Else the next daemon would take what runs for something else, and start it anew."""
    made = msgspec.json.encode(order_of(recipe, Wish(recipe_name="r"), str))
    assert msgspec.json.encode(msgspec.json.decode(made, type=Order)) == made


def test_a_recipe_without_limits_gives_what_is_asked_for_and_0_is_no_time_limit() -> None:
    recipe = replace(RECIPE, limits=Amounts())
    wish = Wish(recipe_name="r", config={"resources": {"time_limit": 0, "memory": "64T"}})
    made = order_of(recipe, wish, str).resources
    assert (made.time_limit, made.memory) == (0, 64 * 1024**4)


def test_the_pages_resources_are_taken_as_strings_and_as_numbers() -> None:
    asked: JsonObject = {"cpu": "8", "memory": "32G", "gpu": "1", "time_limit": 60}
    assert order({"resources": asked}).resources == Resources(
        cpu=8, memory=32 * 1024**3, gpu=1, time_limit=60
    )


@pytest.mark.parametrize(
    ("word", "size"),
    [
        ("32G", 32 * 1024**3),
        ("512MB", 512 * 1024**2),
        ("1.5Gi", 1536 * 1024**2),
        (100, 100 * 1024**2),
    ],
)
def test_memory_is_counted_as_slurm_counts_it(word: str | int, size: int) -> None:
    assert memory_of(word) == size


def test_a_required_value_must_be_given() -> None:
    recipe = Recipe(name="r", command=("r",), parameters={"A": Parameter(required=True)})
    with pytest.raises(ClientError, match="needs it"):
        order_of(recipe, Wish(recipe_name="r"), str)


def test_an_image_without_a_command_is_run_by_apptainer() -> None:
    made = order_of(Recipe(name="r", image="r.sif"), Wish(recipe_name="r"), str)
    assert made.argv({}) == ["apptainer", "run", "r.sif"]


@pytest.mark.parametrize(
    ("recipe", "asked", "words"),
    [
        (Amounts(), {"gpu": 1}, ["apptainer", "run", "--nv", "r.sif"]),
        (Amounts(gpu=1), {"gpu": None}, ["apptainer", "run", "r.sif"]),
        (Amounts(gpu=1), {}, ["apptainer", "run", "--nv", "r.sif"]),
    ],
)
def test_a_container_sees_the_gpus_that_the_service_gets(
    recipe: Amounts, asked: JsonObject, words: list[str]
) -> None:
    """Of recipe and request together: else a GPU is held that nobody can use."""
    wish = Wish(recipe_name="r", config={"resources": asked})
    made = order_of(Recipe(name="r", image="r.sif", resources=recipe), wish, str)
    assert made.argv({}) == words


def test_the_jobs_id_is_filled_in_where_the_recipe_has_it_and_never_in_a_request() -> None:
    recipe = Recipe(
        name="r",
        command=("r", "--id={SLURM_JOB_ID}", "{A}"),
        environment={"JOB": "{SLURM_JOB_ID}"},
        parameters={"A": Parameter(), "B": Parameter()},
    )
    asked: JsonObject = {"A": "{SLURM_JOB_ID}", "B": "${SLURM_JOB_ID}"}
    made = order_of(recipe, Wish(recipe_name="r", config={"environment": asked}), str)
    ours = {"SLURM_JOB_ID": "7"}
    assert made.argv(ours) == ["r", "--id=7", "{SLURM_JOB_ID}"]
    assert made.env(ours) == {"JOB": "7", "B": "${SLURM_JOB_ID}"}


def test_secrets_of_a_recipe_are_not_shown_to_anybody() -> None:
    recipe = replace(RECIPE, environment={"API_KEY": "abc", "OUR_KEY": "{key}", "COLOUR": "blue"})
    shown = recipe_shown(recipe).environment
    assert shown == {"API_KEY": "***", "OUR_KEY": "{key}", "COLOUR": "blue"}
    given = {"HF_TOKEN": Parameter(default="abc"), "SIZE": Parameter(default="s")}
    parameters = recipe_shown(replace(RECIPE, parameters=given)).parameters
    assert [one.default for one in parameters.values()] == ["***", "s"]


def test_secrets_of_a_request_are_not_shown_in_lists() -> None:
    """Wherever the recipe has its parameters."""
    shown = config_shown({"api_key": "abc", "environment": {"HF_TOKEN": "abc", "VLLM_MODEL": "m"}})
    assert shown == {"api_key": "***", "environment": {"HF_TOKEN": "***", "VLLM_MODEL": "m"}}


@pytest.mark.parametrize(
    ("name", "value"),
    [("SECRET", "{key}"), ("PATH", "/opt/bin"), ("LD_LIBRARY_PATH", "/opt/lib"), ("HOME", "/x")],
)
def test_what_the_recipe_makes_or_programs_are_found_by_is_no_requests_to_set(
    name: str, value: str
) -> None:
    """Prompts go with the key that we made, and a PATH names a command as well as any."""
    recipe = replace(RECIPE, environment={name: value})
    wish = Wish(recipe_name="server", config={"environment": {name: "x"}})
    with pytest.raises(ClientError, match=f"`{name}` is the recipe's to set"):
        order_of(recipe, wish, str)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (
            {"environment": {"LENGTH": 0}},
            "config.environment.LENGTH: expected a number, at least 1",
        ),
        ({"environment": {"SHARE": 2}}, "at least 0 and at most 1"),
        ({"environment": {"MODEL": []}}, "config.environment.MODEL: expected a string"),
        ({"title": ""}, "config.title: must not be empty"),
        ({"resources": {"cpu": True}}, "config.resources.cpu: Expected"),
    ],
)
def test_a_refusal_names_the_field_as_the_request_has_it(config: JsonObject, told: str) -> None:
    with pytest.raises(ClientError) as caught:
        order(config)
    assert told in str(caught.value)


def test_no_config_is_none() -> None:
    """Clients of the source system send null for what they leave out."""
    assert order_of(RECIPE, Wish(recipe_name="server", config=None), str) == order()
