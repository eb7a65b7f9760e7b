"""What is asked of a cluster for one job, whichever way it is asked: sbatch's options, or JSON.

The script and the environment of the job go beside it.
"""

from msgspec import Struct


class JobSpec(Struct, frozen=True, kw_only=True):
    """One batch job; what is 0 or "" is left to the cluster's own defaults.

    `memory` is MiB on each node in all, never per CPU (MX2); `time_limit` is in
    minutes. `output` is the file for both streams, as it is: `%` means nothing in it.
    `after` is the number of a job whose end this one waits for. `requeue` tells whether
    a job that loses its node is queued again.
    """

    name: str
    comment: str
    output: str
    folder: str
    nodes: int = 1
    cpus: int = 0
    memory: int = 0
    gpus: int = 0
    time_limit: int = 0
    partition: str = ""
    account: str = ""
    qos: str = ""
    after: str = ""
    requeue: bool = True

    @property
    def dependency(self) -> str:
        """As sbatch(1) has it; a job that the cluster has forgotten is one that has ended."""
        return f"afterany:{self.after}" if self.after else ""

    @property
    def output_pattern(self) -> str:
        """The file's name where SLURM puts numbers and names in place of `%j`, `%x`, …"""
        return self.output.replace("%", "%%")


def options_of(spec: JobSpec) -> list[str]:
    """The options of sbatch."""
    asked = {
        "--job-name": spec.name,
        "--comment": spec.comment,
        "--output": spec.output_pattern,
        "--chdir": spec.folder,
        "--open-mode": "append",
        "--nodes": str(spec.nodes),
        "--cpus-per-task": str(spec.cpus or ""),
        "--mem": f"{spec.memory}M" if spec.memory else "",
        "--gres": f"gpu:{spec.gpus}" if spec.gpus else "",
        "--time": str(spec.time_limit or ""),
        "--partition": spec.partition,
        "--account": spec.account,
        "--qos": spec.qos,
        "--dependency": spec.dependency,
    }
    options = [f"{name}={value}" for name, value in asked.items() if value]
    return options if spec.requeue else [*options, "--no-requeue"]
