"""docs/slurm.md is true: its commands run in order, in one shell, on a real SLURM."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from shutil import which

import pytest

from tests.arch.tree import ROOT
from tests.fakes.byheart import ANSWER, Sentence, make_byheart
from tests.fakes.daemon import Daemon, free_ports
from tests.fakes.slurm import wants_slurm, wants_slurmrestd

PAGE = (ROOT / "docs/slurm.md").read_text()
COMMANDS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}" + ANSWER

pytestmark = [
    wants_slurm,
    wants_slurmrestd,
    pytest.mark.skipif(not (which("curl") and which("jq")), reason="wants curl and jq"),
    pytest.mark.skipif(not (ROOT / ".venv/bin/atoll").exists(), reason="wants `make setup`"),
]


@pytest.mark.timeout(180)
def test_every_command_of_the_guide_runs_as_it_stands(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="wants the extra local")
    model = make_byheart(tmp_path / "m.gguf", [Sentence("<|x|>", (b"Good", b" day"))], TEMPLATE)
    daemon = Daemon(tmp_path)
    script = "\n".join(["set -eu", *COMMANDS]).replace(
        "127.0.0.1:8099", f"127.0.0.1:{daemon.api_port}"
    )
    script = script.replace("up $HOME/slurm", f"up $HOME/slurm 2 {free_ports(100)}")
    environ = {**daemon.environment, "MODEL": str(model)}
    home = tempfile.mkdtemp(prefix="atoll-")  # a short one, for SLURM's unix sockets
    environ |= {"PATH": os.environ["PATH"], "HOME": home}
    cluster = [str(ROOT / "scripts/slurm-test-cluster"), "down", f"{home}/slurm"]
    try:
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=150,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert done.stdout.count('"response":"Good day"') == 2
        assert "RUNNING" in done.stdout
        assert done.stdout.count("Service stopped successfully") == 2
        assert re.search(r"cpu +faraway-", done.stdout)
        assert "Faraway serves http://" in done.stdout, "the job's own output"
        after = done.stdout.rpartition("NODELIST(REASON)")[2]
        assert "faraway" not in after, "a stopped agent has a job"
    finally:
        subprocess.run(cluster, timeout=30, capture_output=True)
        subprocess.run(
            [".venv/bin/atoll", "down"], cwd=ROOT, env=environ, timeout=30, capture_output=True
        )
        daemon.end()
        shutil.rmtree(home)
