"""Stands in for `apptainer`, which no package of our machines brings: `run` and `build`.

Not Apptainer: an image is a copy of its definition and nothing is contained. What
it keeps of Apptainer's ways: `run` wants an image that is there, the caller's
variables and `APPTAINERENV_NAME` as NAME reach what runs, `build IMAGE DEFINITION`
writes the image at its end. What runs is our stand-in for vLLM, told its model and
its address by variables, as the source system's definition does. It builds for as
long as a file beside the definition is called like it with `.hold` after it.
"""

from pathlib import Path

_PROGRAM = """\
#!/bin/sh
case $1 in
  build)
    [ -e "$3" ] || { echo "FATAL: unable to open file $3: no such file" >&2; exit 255; }
    echo "INFO: Starting build..."
    while [ -e "$3.hold" ]; do sleep 0.05; done
    cp "$3" "$2"
    ;;
  run)
    shift
    [ "$1" != --nv ] || { echo "sees the GPUs"; shift; }
    [ -e "$1" ] || { echo "FATAL: could not open image $1" >&2; exit 255; }
    echo "PORT=$PORT VLLM_PORT=$VLLM_PORT JOB=$JOB"
    exec vllm serve "$APPTAINERENV_VLLM_MODEL" --host "$VLLM_HOST" --port "$VLLM_PORT"
    ;;
esac
"""


def install(folder: Path) -> None:
    """The program `apptainer` in this folder, beside the stand-in for vLLM."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "apptainer"
    program.write_text(_PROGRAM)
    program.chmod(0o755)


def recipe(folder: Path, *, port: int, image: bool = True, **more: str) -> Path:
    """`inference/mine`, of the source system's shape; the definition beside it."""
    place = folder / "recipes/inference"
    place.mkdir(parents=True, exist_ok=True)
    extra = "\n".join(f"{key}: {value}" for key, value in more.items())
    (place / "mine.yaml").write_text(
        f"""name: mine
category: inference
image: vllm.sif
ports: [{port}]
base_port: {port}
gpu_per_replica: 1
environment:
  VLLM_HOST: "0.0.0.0"
  VLLM_PORT: "{port}"
  VLLM_MODEL: small
  JOB: ${{SLURM_JOB_ID}}
{extra}
"""
    )
    definition = place / "vllm.def"
    definition.write_text("Bootstrap: docker\n")
    if image:
        (place / "vllm.sif").write_text("an image")
    return definition
