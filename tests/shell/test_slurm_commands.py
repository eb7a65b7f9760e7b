"""What sbatch says as it ends, and what follows: refused, not reached, or nobody knows."""

from pathlib import Path

import pytest

from atoll.errors import ClientError
from atoll_supervisor.core.services.job_spec import JobSpec
from atoll_supervisor.shell.slurm import Slurm, SlurmDown, SlurmUnsure

pytestmark = pytest.mark.anyio
SPEC = JobSpec(name="a", comment="atoll:u", output="/dev/null", folder="/")


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Requested node configuration is not available", ClientError),
        ("Unable to contact slurm controller (connect failure)", SlurmDown),
        ("Unable to contact slurm controller (receive failure)", SlurmUnsure),
        ("Zero Bytes were transmitted or received", SlurmUnsure),
        ("Socket timed out on send/recv operation", SlurmUnsure),
    ],
)
async def test_only_a_refusal_is_the_clients_mistake(
    tmp_path: Path, said: str, kind: type[Exception]
) -> None:
    """A controller that goes away between the ping and sbatch is no refusal."""
    program(tmp_path / "scontrol", "echo 'Slurmctld(primary) at x is UP'")
    program(tmp_path / "sbatch", f"echo 'sbatch: error: {said}' >&2; exit 1")
    slurm = Slurm({"PATH": f"{tmp_path}:/usr/bin:/bin"})
    with pytest.raises(kind) as caught:
        await slurm.submit(SPEC, tmp_path / "job.sh", {})
    assert type(caught.value) is kind
    assert said in str(caught.value)
