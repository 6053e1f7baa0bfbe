"""What our launchers have in common: Hydra's side of them."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from misgen.experiments.provenance import how_to_install

PLAIN_SWEEPERS = ("Sweeper", "BasicSweeper")  # ours and Hydra's: they run what they are told


@dataclass
class LauncherConf:
    """hydra.launcher.*, of every launcher of ours."""

    dry_run: bool = False  # only say what would run
    objective: Any = "training_success"  # one or several, for a sweeper that looks for the best
    num_levels: int = 0  # quadruples an agent is evaluated on for it; 0 = the cell's


class RunFailedError(CompactHydraException):
    """There is no value of a run."""


class MisgenLauncher(Launcher):
    """Hydra makes one from `hydra.launcher`.

    Attributes:
        kind: the dataclass of its settings.
        way: the module of `misgen.experiments` that trains. Its `check(conf)` raises ValueError
            where it does not work here, `plan(missing, conf)` says in words what it would do, and
            `train(missing, conf)` returns what became of those that have ended.
        extra: the package that it needs, and the extra of ours that installs it.
        conf: its settings.
    """

    kind: type[Any]
    extra = ("", "")

    @property
    @abstractmethod
    def way(self) -> str: ...

    def __init__(self, **settings: Any) -> None:
        nodes = {name for name, value in settings.items() if OmegaConf.is_config(value)}
        plain = {name: OmegaConf.to_container(settings[name]) for name in nodes}
        self.conf = self.kind(**settings | plain)
        self.config: Any = None

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        self.config = config

    @property
    def is_search(self) -> bool:
        """Whether the sweeper is one that looks for the best."""
        kind = str(self.config.hydra.sweeper._target_)
        return kind.rpartition(".")[2] not in PLAIN_SWEEPERS

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Train what is missing. The value of a run is its objective, or the list of them, NaN if
        it is not there yet; for a search a run that failed, or whose objective is not defined, is
        a failed one.

        Raises:
            ValueError: configurations that are refused, or a launcher that does not work here.
            SystemExit: 1, runs have failed, and this is no search; the others are there.
        """
        from misgen.experiments.application import at_work
        from misgen.experiments.runs.sweep import checked, launch, sweep_configs, values_of

        with at_work():
            self._require_extra()
            names = checked(self.conf.objective)
            configs = sweep_configs(job_overrides)
            if self.is_search:
                self._require_values()
            try:
                launch(configs, import_module(f"misgen.experiments.{self.way}"), self.conf)
            except SystemExit:
                if not self.is_search:
                    raise
            if self.conf.dry_run:
                return [self._returned(words, [0.0]) for words in job_overrides]
            workers = getattr(self.conf, "n_jobs", 0)
            values = values_of(configs, names, self.conf.num_levels, workers)
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

    def _require_extra(self) -> None:
        package, extra = self.extra
        if package and find_spec(package) is None:
            raise ValueError(
                f"launcher={extra} needs {package}, which is not installed: {how_to_install(extra)}"
            )

    def _require_values(self) -> None:
        """ValueError where a search would learn nothing of its runs."""
        if self.conf.dry_run:
            raise ValueError("a search chooses its runs as it goes, so --dry-run cannot list them")
        if not getattr(self.conf, "wait", True):
            raise ValueError(
                "a search chooses its runs by those that have ended; add hydra.launcher.wait=true"
            )
