"""`launcher=population`: the runs of a sweep side by side on a GPU, by shape."""

from dataclasses import dataclass

from hydra.core.config_store import ConfigStore

from misgen.experiments.launchers.launcher import LauncherConf, MisgenLauncher


@dataclass
class PopulationConf(LauncherConf):
    """hydra.launcher.*"""

    _target_: str = "hydra_plugins.misgen.population.PopulationLauncher"


ConfigStore.instance().store(
    group="hydra/launcher", name="misgen_population", node=PopulationConf, provider="misgen"
)


class PopulationLauncher(MisgenLauncher):
    kind, way = PopulationConf, "jobs.populations"
