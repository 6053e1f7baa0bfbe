"""`launcher=ray`: the runs of a sweep as tasks of a Ray cluster, one job each."""

from dataclasses import dataclass

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
    kind, way, extra = RayConf, "jobs.ray", ("ray", "ray")
