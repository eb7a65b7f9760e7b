"""Recipes on disk: ours, a person's, the source system's YAML, and bad ones."""

import re
import time
from pathlib import Path

import pytest

from atoll.errors import ConfigError, NotFound
from atoll_supervisor.core.services.order import Wish, order_of
from atoll_supervisor.core.services.recipe import Recipe
from atoll_supervisor.loop.services.assembly import SHIPPED
from atoll_supervisor.shell.services.recipes import Recipes, load_recipe
from tests.arch.tree import ROOT

YAML = """\
name: vllm
category: inference
description: "vLLM inference server"
version: 1.0
image: "vllm.sif"
container_def: "vllm.def"
ports: 8001
environment:
  VLLM_WORKERS: 1
  JOB: "${SLURM_JOB_ID}"
  EAGER: true
resources:
  nodes: 1
  cpu: 8
  memory: "32G"
  gpu: 1
  time_limit: 120
  storage: "10G"
gpu_per_replica: 1
base_port: 8001
deployment_config:
  replicas: 2
health_check:
  endpoint: /healthz
  interval: 30
  timeout: 10
  retries: 3
parameters:
  VLLM_MODEL:
    description: the model
    type: string
    default: gpt2
    required: true
    location: environment
"""


GOOD = 'name = "a"\ncommand = ["a"]\n'


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def problems(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_recipe(path, path.name)
    return str(caught.value)


def test_every_shipped_recipe_is_good_and_says_what_it_is() -> None:
    listed = Recipes(SHIPPED).list()
    assert {one.path for one in listed} >= {
        "inference/llama-cpp",
        "inference/vllm",
        "vector-db/chroma",
    }
    assert [one.error for one in listed] == [None] * len(listed)
    assert all(one.description and one.version for one in listed)
    assert all(Recipes(SHIPPED).load(one.path).licence for one in listed)


def test_the_recipe_in_the_docs_is_good(tmp_path: Path) -> None:
    page = (ROOT / "docs/services.md").read_text()
    (text,) = re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    recipe = load_recipe(write(tmp_path, "mine.toml", text), "mine.toml")
    wish = Wish(recipe_name="mine", config={"environment": {"THREADS": 4}})
    assert order_of(recipe, wish, str).argv({})[-2:] == ["--threads", "4"]


def test_vllm_is_the_real_command_line() -> None:
    recipe = Recipes(SHIPPED).load("inference/vllm")
    environment = {
        "VLLM_MODEL": "gpt2",
        "VLLM_MAX_MODEL_LEN": "2048",
        "VLLM_GPU_MEMORY_UTILIZATION": "0.9",
        "VLLM_TENSOR_PARALLEL_SIZE": "1",
    }
    wish = Wish(recipe_name="inference/vllm", config={"environment": dict(environment)})
    argv = order_of(recipe, wish, str).argv({"host": "127.0.0.1", "port": "8001"})
    assert argv == [
        *("vllm", "serve", "gpt2", "--host", "127.0.0.1", "--port", "8001"),
        *("--max-model-len", "2048", "--gpu-memory-utilization", "0.9"),
        *("--tensor-parallel-size", "1"),
    ]


def test_the_source_systems_yaml_is_read(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "inference/vllm.yaml", YAML), "vllm.yaml")
    assert (recipe.name, recipe.version, recipe.ports) == ("vllm", "1.0", (8001,))
    assert recipe.environment == {
        "VLLM_WORKERS": "1",
        "JOB": "{SLURM_JOB_ID}",
        "EAGER": "true",
        "VLLM_HOST": "{host}",
        "VLLM_PORT": "{port}",
    }
    assert (recipe.health.path, recipe.health.interval) == ("/healthz", 30)
    made = order_of(recipe, Wish(recipe_name="inference/vllm"), str)
    image = str(tmp_path / "inference/vllm.sif")
    assert made.argv({})[-4:] == ["apptainer", "run", "--nv", image]
    assert made.env({})["VLLM_MODEL"] == made.env({})["APPTAINERENV_VLLM_MODEL"] == "gpt2"
    assert made.env({"SLURM_JOB_ID": "7", "port": "8001"})["JOB"] == "7"
    assert (made.resources.time_limit, made.port, made.api) == (120, 8001, "openai")


def test_what_is_read_and_not_acted_upon_is_listed_with_the_recipe(tmp_path: Path) -> None:
    more = "master_port: 29500\ndistributed:\n  nproc_per_node: 1\n  rdzv_backend: c10d\n"
    write(tmp_path, "inference/vllm.yaml", YAML + more)
    (listed,) = Recipes((tmp_path,)).list()
    assert listed.error is None
    noted = [note.partition(" ")[0] for note in listed.notes]
    assert noted == ["`deployment_config`", "`distributed`", "`master_port`", "`resources.storage`"]


def test_a_dollar_is_written_twice_and_the_daemons_variables_are_none_of_a_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_DAEMON", "x")
    words = 'name = "a"\ncommand = ["sh", "-c", "echo {}"]\n'
    recipe = load_recipe(write(tmp_path, "a.toml", words.format("$$HOME")), "a.toml")
    assert recipe.command[-1] == "echo $HOME"
    told = problems(write(tmp_path, "a.toml", words.format("${SECRET_OF_THE_DAEMON}")))
    assert "a.toml:2:24: `command[2]`: the variable SECRET_OF_THE_DAEMON is not set" in told
    assert "a recipe knows ${SLURM_JOB_ID} alone: write $$ for a dollar" in told


def test_a_persons_recipe_comes_before_ours(tmp_path: Path) -> None:
    write(tmp_path, "inference/vllm.toml", 'name = "mine"\ncommand = ["mine"]\n')
    recipes = Recipes((tmp_path, *SHIPPED))
    assert recipes.load("inference/vllm").name == "mine"
    assert [one.name for one in recipes.list() if one.path == "inference/vllm"] == ["mine"]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.toml", 'name = "a"\ncomand = ["a"]\n', "a.toml:2:1: unknown key `comand`"),
        ("a.toml", 'name = "a"\ncomand = ["a"]\n', "did you mean `command`?"),
        ("a.toml", 'name = "a"\n', "needs a `command`"),
        ("a.toml", 'name = "a"\ncommand = ["a", "{prot}"]\n', "a.toml:2:17"),
        ("a.toml", 'name = "a"\ncommand = ["a", "{prot}"]\n', "did you mean `port`?"),
        ("a.toml", 'name = "a"\ncommand = ["{X}"]\n[parameters.X]\n', "must not come from"),
        (
            "a.toml",
            'name = "a"\ncommand = ["/bin/sh", "-ec", "x {X}"]\n[parameters.X]\n',
            "a.toml:2:30: `command[2]`: `{X}` stands in a program's text",
        ),
        ("a.toml", 'name = "a"\nimage = "{X}.sif"\n[parameters.X]\n', "a.toml:2:9: `image`"),
        ("a.toml", 'name = "a"\ncontainer_def = "{X}"\n[parameters.X]\n', "it is what is run"),
        ("a.yaml", "name: a\nimage: x\nenvironment:\n  A: {b: 1}\n", "`environment.A`"),
        ("a.toml", 'name = "a"\ncommand = "a b"\n', "a.toml:2:11"),
        (
            "a.toml",
            'name = "a"\ncommand = ["a"]\n[parameters.X]\ntype = "integer"\ndefault = "x"\n',
            "a.toml:5:11",
        ),
        ("a.toml", 'name = "a"\ncommand = ["a"]\n[parameters.port]\n', "a name of ours"),
        (
            "a.toml",
            f'{GOOD}[health]\npath = "x"\n',
            "a.toml:4:8: `health.path`: must begin with a slash",
        ),
        ("a.toml", f'{GOOD}[health]\npath = "/a b"\n', "hold no spaces"),
        ("a.toml", f'{GOOD}[health]\npath = "/x\\r\\nX: y"\n', "a path of HTTP"),
        ("a.toml", f'{GOOD}metrics = "metrics"\n', "`metrics`: must begin with a slash"),
        ("a.toml", f"{GOOD}[health]\ninterval = 0\n", "from 0.1"),
        ("a.toml", f"{GOOD}[health]\nretries = 0\n", "a.toml:4:11"),
        ("a.toml", f"{GOOD}start_limit = 0\n", "greater than 0"),
        ("a.toml", f"{GOOD}stop_timeout = -1\n", "a.toml:3:16"),
        ("a.toml", f"{GOOD}max_replicas = 100_000\n", "1 to 1000"),
        ("a.toml", f'{GOOD}restart = "sometimes"\n', "on-failure"),
        ("a.toml", f'{GOOD}[resources]\nmemory = "lots"\n', "`resources`: resources.memory"),
        ("a.toml", f'{GOOD}[limits]\ncpu = "x"\n', "the recipe's limits.cpu"),
        (
            "a.toml",
            f"{GOOD}[resources]\ntime_limit = 0\n[limits]\ntime_limit = 8\n",
            "resources.time_limit: 0 means without limit, which is more than the 8",
        ),
        ("a.toml", f"{GOOD}[limits]\ntime_limit = 0\n", "a.toml:4:14: `limits.time_limit`"),
        (
            "a.toml",
            f"{GOOD}[limits]\nmemory = 'lots'\n",
            "the recipe's limits.memory: 'lots' is not a size",
        ),
        ("a.toml", f"{GOOD}[resources]\ncpu = 9\n[limits]\ncpu = 8\n", "more than the 8"),
        ("a.toml", f'{GOOD}[environment]\n"A=B" = "x"\n', "no name of a variable"),
        ("a.toml", f'{GOOD}[environment]\nATOLL_UNIT = "x"\n', "a name of ours"),
        ("a.toml", f"{GOOD}[parameters.LD_PRELOAD]\n", "must not come from a request"),
        ("a.toml", f'{GOOD}[parameters."a b"]\n', "stands nowhere in the command"),
        (
            "a.toml",
            f'{GOOD}[parameters.N]\ntype = "integer"\ndefault = 5\nmaximum = 1\n',
            "at most 1",
        ),
        ("a.toml", f'{GOOD}[parameters.N]\ndefault = "-x"\n', "begin with a dash"),
        ("a.toml", f'{GOOD}[parameters.N]\ndefault = "${{SLURM_JOB_ID}}"\n', "taken as it is"),
        ("a.toml", 'name = "a"\nimage = "docker://a"\ncontainer_def = "d"\n', "built nowhere"),
        ("a.yaml", "name: a\nimage: x\nports: [70000]\n", "65535"),
        ("a.yaml", "name: a\nimage: x\nbase_port: 0\n", "base_port"),
        ("a.yaml", "name: a\nimage: x\ngpu_per_replica: none\n", "gpu_per_replica"),
        ("a.toml", 'name = "a\\nb"\ncommand = ["a"]\n', "`name`: must be a line of text"),
        ("a.yaml", "name: a\nimage: x\nname: b\n", "a.yaml:3:1: is there twice"),
        ("a.yaml", "name: a\nimage: x\nenvironment:\n  1: x\n", "a.yaml:4:3: a key must be text"),
        ("a.yaml", "name: a\nimage: x\n? [a]\n: b\n", "a key must be text"),
        ("a.yaml", "name: a\n<<: {image: x}\n", "a.yaml:2:1: a key must be text"),
        ("a.yaml", "name: a\n---\nname: b\n", "another document"),
        ("a.toml", "name = \n", "is not valid TOML"),
        ("a.yaml", "name: a\nimage: a.sif\nprots: [1]\n", "a.yaml:3:1"),
        ("a.yaml", "name: a\nimage: a.sif\nprots: [1]\n", "did you mean `ports`?"),
        ("a.yaml", "name: a\nimage: a.sif\nresources:\n  cpus: 2\n", "a.yaml:4:3"),
        ("a.yaml", "name: [a\n", "is not valid YAML"),
        ("a.yaml", "- a\n", "Expected `object`"),
        ("a.yaml", "name: &x a\nimage: *x\n", "anchors are not read"),
        ("a.yaml", "name: !!python/object/apply:os.system [id]\n", "not"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, name: str, text: str, told: str) -> None:
    assert told in problems(write(tmp_path, name, text))


def test_a_number_may_stand_in_a_shells_text_and_a_text_beside_it(tmp_path: Path) -> None:
    words = '["sh", "-c", "exec x --n {N} --model $1", "x", "{X}"]'
    text = f'name = "a"\ncommand = {words}\n[parameters.X]\n[parameters.N]\ntype = "integer"\n'
    load_recipe(write(tmp_path, "a.toml", text), "a.toml")


@pytest.mark.parametrize("text", ["[" * 60_000, "- " * 30_000, "{a: " * 10_000, "&a [*a]"])
def test_a_bomb_of_yaml_is_refused_before_it_costs_anything(tmp_path: Path, text: str) -> None:
    """PyYAML reads 50,000 open brackets for more than a minute."""
    began = time.process_time()
    problems(write(tmp_path, "bomb.yaml", f"name: a\nx:\n  {text}"))
    assert time.process_time() - began < 10


def test_folders_that_are_links_are_not_looked_through(tmp_path: Path) -> None:
    own = tmp_path / "recipes"
    write(own, "mine.toml", GOOD)
    write(tmp_path, "elsewhere/other.toml", GOOD)
    (own / "out").symlink_to(tmp_path / "elsewhere")
    (own / "loop").symlink_to(own)
    assert [one.path for one in Recipes((own,)).list()] == ["mine"]


def test_a_broken_recipe_is_listed_with_its_mistake(tmp_path: Path) -> None:
    write(tmp_path, "x/bad.toml", 'name = "a"\nwrong = 1\n')
    listed = {one.path: one.error for one in Recipes((tmp_path,)).list()}
    assert "bad.toml:2:1" in str(listed["x/bad"])


@pytest.mark.parametrize(
    "name",
    [
        *("..", "../secret", "inference/../../secret", "/etc/passwd", "inference//vllm", ""),
        *(
            "a\0b",
            "a\\b",
            ".hidden",
            "-rf",
            "~",
            "%2e%2e/secret",
            "a" * 300,
            "a/b/c/d",
            "vllm.toml",
        ),
        *("\uff49nference/vllm", "inference/vllm ", "inference/link", "inference/vllm/"),
    ],
)
def test_a_name_never_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    write(tmp_path, "secret.toml", 'name = "secret"\ncommand = ["x"]\n')
    folder = tmp_path / "recipes"
    write(folder, "inference/vllm.toml", 'name = "v"\ncommand = ["v"]\n')
    (folder / "inference/link.toml").symlink_to(tmp_path / "secret.toml")
    with pytest.raises(NotFound, match=r"Recipe '.*' not found"):
        Recipes((folder,)).load(name)


def test_a_recipe_that_others_could_change_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.toml", 'name = "a"\ncommand = ["a"]\n')
    path.chmod(0o666)
    assert "can be changed by everybody" in problems(path)


def test_unknown_recipes_are_named_as_on_the_page() -> None:
    with pytest.raises(NotFound, match=r"^Recipe 'invalid/recipe' not found$"):
        Recipes(SHIPPED).load("invalid/recipe")
    assert Recipe(name="x").command == ()
