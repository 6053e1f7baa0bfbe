"""`misgen train -m`: the runs of a sweep as jobs of our scheduler, on all cores of this machine.

Every configuration is checked before anything starts. What is finished is not trained again; what
fails is reported when it happens and costs nothing but itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig


@dataclass
class LocalConf:
    """hydra.launcher.*"""

    _target_: str = "hydra_plugins.misgen.local.LocalLauncher"
    n_jobs: int = 0  # processes at a time; 0 = one a core
    dry_run: bool = False  # only say what would run
    objective: Any = "training_success"  # one or several, for a sweeper that looks for the best
    num_levels: int = 0  # quadruples an agent is evaluated on for it; 0 = the cell's


@dataclass
class SweeperConf(BasicSweeperConf):
    _target_: str = "hydra_plugins.misgen.local.Sweeper"


for group, node in (("launcher", LocalConf), ("sweeper", SweeperConf)):
    ConfigStore.instance().store(
        group=f"hydra/{group}", name="misgen", node=node, provider="misgen"
    )


class Sweeper(BasicSweeper):
    """Hydra's, which checks a configuration by composing it: a tenth of a second for each, up to
    the first that is wrong. Here all are checked, and all that are wrong are named."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        from misgen.experiments.config import at_work
        from misgen.experiments.sweep import sweep_configs

        with at_work(has_begun=False):
            sweep_configs(batch)


class RunFailedError(CompactHydraException):
    """There is no value of a run."""


class LocalLauncher(Launcher):
    def __init__(self, n_jobs: int, dry_run: bool, objective: Any, num_levels: int) -> None:
        self.n_jobs, self.dry_run = n_jobs, dry_run
        self.objective, self.num_levels = objective, num_levels
        self.config: Any = None

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        self.config = config

    @property
    def is_search(self) -> bool:
        """Whether the sweeper is one that looks for the best, and not Hydra's or ours."""
        kind = str(self.config.hydra.sweeper._target_)
        return kind.rpartition(".")[2] not in (Sweeper.__name__, BasicSweeper.__name__)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Train what is missing. The value of a run is its objective, or the list of them; for a
        search a run that failed, or whose objective is not defined, is a failed one.

        Raises:
            ValueError: configurations that are refused.
            SystemExit: 1, runs have failed, and this is no search; the others are there.
        """
        from misgen.experiments.config import at_work
        from misgen.experiments.objective import checked, values_of
        from misgen.experiments.sweep import launch, sweep_configs

        with at_work():
            names = checked(self.objective)
            configs = sweep_configs(job_overrides)
            if self.dry_run and self.is_search:
                raise ValueError(
                    "a search chooses its runs as it goes, so --dry-run cannot list them"
                )
            try:
                launch(configs, self.n_jobs, self.dry_run)
            except SystemExit:
                if not self.is_search:
                    raise
            if self.dry_run:
                return [self._returned(words, [0.0]) for words in job_overrides]
            values = values_of(configs, names, self.num_levels, self.n_jobs)
        return [self._returned(*each) for each in zip(job_overrides, values, strict=True)]

    def _returned(self, overrides: Sequence[str], values: Sequence[float]) -> JobReturn:
        done = JobReturn(overrides=overrides, cfg=self.config, hydra_cfg=self.config)
        if self.is_search and any(map(math.isnan, values)):
            done.status = JobStatus.FAILED
            why = "failed, or its objective is not defined"
            done.return_value = RunFailedError(f"the run {' '.join(overrides)} {why}")
        else:
            done.status = JobStatus.COMPLETED
            done.return_value = values[0] if len(values) == 1 else [*values]
        return done
