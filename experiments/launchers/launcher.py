"""What our launchers have in common: Hydra's side of them."""

from abc import abstractmethod
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf


class MisgenLauncher(Launcher):
    """Hydra makes one from `hydra.launcher`. Its three last methods are those of
    `misgen.experiments.sweep.Way`.

    Attributes:
        kind: the dataclass of its settings.
        extra: the package that it needs, and the extra of ours that installs it.
        conf: its settings.
    """

    kind: type[Any]
    extra = ("", "")

    def __init__(self, **settings: Any) -> None:
        nodes = {name for name, value in settings.items() if OmegaConf.is_config(value)}
        plain = {name: OmegaConf.to_container(settings[name]) for name in nodes}
        self.conf = self.kind(**settings | plain)
        self.config: Any = None

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Train what is missing. The value of a run, for sweepers that look for the best, is the
        agent's success in the last rollout; NaN if it failed or is not there yet.

        Raises:
            ValueError: configurations that are refused, or a launcher that does not work here.
            SystemExit: 1, runs have failed; the others are there.
        """
        from misgen.experiments.config import at_work
        from misgen.experiments.sweep import launch, sweep_configs

        with at_work():
            self._require_extra()
            values = launch(sweep_configs(job_overrides), self, self.conf.dry_run)
        returns = []
        for overrides, value in zip(job_overrides, values, strict=True):
            done = JobReturn(overrides=overrides, cfg=self.config, hydra_cfg=self.config)
            done.status, done.return_value = JobStatus.COMPLETED, value
            returns.append(done)
        return returns

    def _require_extra(self) -> None:
        package, extra = self.extra
        if package and find_spec(package) is None:
            raise ValueError(
                f"launcher={extra} needs {package}, which is not installed: pip install "
                f"'misgen[{extra}]'"
            )

    def check(self) -> None:
        """Nothing to check."""

    @abstractmethod
    def plan(self, missing: Sequence[Any]) -> str: ...

    @abstractmethod
    def train(self, missing: Sequence[Any]) -> Sequence[Any]: ...
