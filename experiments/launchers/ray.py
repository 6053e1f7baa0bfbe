"""`launcher=ray`: the runs of a sweep as tasks of a Ray cluster, one job each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore

from misgen.experiments.launchers.launcher import LauncherConf, MisgenLauncher


@dataclass
class RayConf(LauncherConf):
    """hydra.launcher.*"""

    _target_: str = "hydra_plugins.misgen.ray.RayLauncher"
    address: str = ""  # of a running cluster, as auto or host:port; "" = one of this machine
    n_jobs: int = 0  # at a time; 0 = as many as the cluster has cores


ConfigStore.instance().store(
    group="hydra/launcher", name="misgen_ray", node=RayConf, provider="misgen"
)


class RayLauncher(MisgenLauncher):
    kind, extra = RayConf, ("ray", "ray")

    def check(self) -> None:
        from misgen.experiments.ray_jobs import check

        check(self.conf.address)

    def plan(self, missing: Sequence[Any]) -> str:
        where = f"the Ray cluster at {self.conf.address}" if self.conf.address else "a local Ray"
        return f"{self.conf.n_jobs or 'as many as it has cores'} at a time on {where}"

    def train(self, missing: Sequence[Any]) -> Sequence[Any]:
        from misgen.experiments.ray_jobs import cluster
        from misgen.experiments.sweep import train_on_cores

        with cluster(self.conf.address, self.conf.n_jobs) as (workers, start):
            return train_on_cores(missing, workers, start)
