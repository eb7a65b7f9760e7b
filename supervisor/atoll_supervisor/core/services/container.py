"""A recipe's container image as a command: built from its definition first where it is missing.

What the source system does (seeds-contract.md 5.2, 5.3): the image and its
definition stand beside the recipe, `apptainer run` starts the image, with `--nv`
where there are GPUs, and its variables reach the container also where the
image's own `%environment` sets them (apptainer's `APPTAINERENV_`).
"""

from collections.abc import Mapping
from posixpath import basename, join

from msgspec.structs import replace

from atoll_supervisor.core.services.recipe import Recipe

MARK = "building"
"""File in the service's folder for as long as its image is being built."""
BUILD_LIMIT = 3600.0
"""Seconds that building may take on this machine, beside the start limit."""
INSIDE = "APPTAINERENV_"

_BUILD = """\
if [ ! -e "$1" ]; then
  : >"$3"
  echo "Building Apptainer image: $1"
  exec 9>"$1.lock"
  flock 9 2>/dev/null
  rm -f "$1.new"
  if [ ! -e "$1" ] && ! { apptainer build "$1.new" "$2" && mv "$1.new" "$1"; }; then
    rm -f "$1.new" "$3"
    echo "its image cannot be built from $2" >&2
    exit 1
  fi
  exec 9>&-
  echo "Container build successful"
fi
rm -f "$3"
shift 3
exec "$@"
"""
"""`sh -c` of: image, definition, mark, and the command it becomes.

One builds while others wait, and no half of an image is ever under its name; the half
that somebody left who was ended is removed by the next one.
"""


def is_run(recipe: Recipe) -> bool:
    """Whether the image is what is run: a recipe's own command comes before it."""
    return not recipe.command


def is_built(recipe: Recipe) -> bool:
    """Whether the image is built before the run, if it is not there."""
    return is_run(recipe) and bool(recipe.container_def)


def command_of(recipe: Recipe, gpus: int) -> tuple[str, ...]:
    """The argument vector of a recipe that has no command of its own."""
    run = ("apptainer", "run", *(("--nv",) if gpus else ()), recipe.image)
    if not is_built(recipe):
        return run
    places = (recipe.image, recipe.container_def, f"{{data}}/{MARK}")
    return ("/bin/sh", "-c", _BUILD, "build", *places, *run)


def variables_of(recipe: Recipe) -> dict[str, str]:
    """The recipe's variables, and `PORT` for a container, which nobody tells its port otherwise."""
    return {"PORT": "{port}", **recipe.environment} if is_run(recipe) else recipe.environment


def inside(recipe: Recipe, variables: Mapping[str, str]) -> dict[str, str]:
    """These variables, for a container under both of their names."""
    doubled = {f"{INSIDE}{name}": value for name, value in variables.items()}
    return {**variables, **doubled} if is_run(recipe) else dict(variables)


def beside(recipe: Recipe, folder: str) -> Recipe:
    """The recipe with image and definition as absolute paths; `folder` is where its file is."""
    definition = recipe.container_def
    image = recipe.image or (f"{definition.removesuffix('.def')}.sif" if definition else "")
    return replace(recipe, image=_placed(image, folder), container_def=_placed(definition, folder))


def is_remote(image: str) -> bool:
    """Whether an image comes from a registry: `docker://…`, or Docker's own `name:tag`."""
    return "://" in image or (":" in image and not image.endswith(".sif"))


def name_shown(image: str) -> str:
    """The image as anybody may see it: without the folders of this machine."""
    return basename(image) if image.startswith("/") else image


def _placed(name: str, folder: str) -> str:
    if is_remote(name):
        return name if "://" in name else f"docker://{name}"
    return join(folder, name) if name else ""
