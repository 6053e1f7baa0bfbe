"""`misgen train -m`: the runs of a sweep as jobs of our scheduler, on all cores of this machine.

Every configuration is checked before anything starts. What is finished is not trained again; what
fails is reported when it happens and costs nothing but itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig


@dataclass
class LocalConf:
    """hydra.launcher.n_jobs: processes at a time, 0 = one a core; dry_run: only say what would
    run."""

    _target_: str = "hydra_plugins.misgen.local.LocalLauncher"
    n_jobs: int = 0
    dry_run: bool = False


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


class LocalLauncher(Launcher):
    def __init__(self, n_jobs: int, dry_run: bool) -> None:
        self.n_jobs, self.dry_run = n_jobs, dry_run
        self.config: Any = None

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Train what is missing. The value of a run, for sweepers that look for the best, is the
        agent's success in the last rollout; NaN if it failed.

        Raises:
            ValueError: configurations that are refused.
            SystemExit: 1, runs have failed; the others are there.
        """
        from misgen.experiments.config import at_work
        from misgen.experiments.sweep import launch, sweep_configs

        with at_work():
            values = launch(sweep_configs(job_overrides), self.n_jobs, self.dry_run)
        returns = []
        for overrides, value in zip(job_overrides, values, strict=True):
            done = JobReturn(overrides=overrides, cfg=self.config, hydra_cfg=self.config)
            done.status, done.return_value = JobStatus.COMPLETED, value
            returns.append(done)
        return returns
