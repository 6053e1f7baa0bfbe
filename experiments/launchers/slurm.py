"""`launcher=slurm`: the runs of a sweep as one array of Slurm, many agents a task."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore

from misgen.experiments.launchers.launcher import LauncherConf, MisgenLauncher


@dataclass
class SlurmConf(LauncherConf):
    """hydra.launcher.*. What is None is left to the cluster. Agents are shared out among the tasks
    by their expected cost."""

    _target_: str = "hydra_plugins.misgen.slurm.SlurmLauncher"
    tasks: int = 0  # of the array; 0 = as many as agents_per_task makes
    agents_per_task: int = 16  # on average
    cpus_per_task: int = 4  # agents that a task trains at a time
    mem_gb: float | None = None  # of a task
    timeout_min: int = 60  # of a task; what it has not done, the same command does
    array_parallelism: int = 256  # tasks at a time
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    setup: list[str] = field(default_factory=list)  # lines of shell before, as "module load python"
    additional_parameters: dict[str, Any] = field(default_factory=dict)  # more options of sbatch
    wait: bool = False  # until Slurm has ended them


ConfigStore.instance().store(
    group="hydra/launcher", name="misgen_slurm", node=SlurmConf, provider="misgen"
)


class SlurmLauncher(MisgenLauncher):
    kind, way, extra = SlurmConf, "jobs.slurm", ("submitit", "slurm")
