"""`launcher=population`: the runs of a sweep side by side on a GPU, by shape."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    kind = PopulationConf

    def check(self) -> None:
        from misgen.experiments.populations import check_gpu

        check_gpu()

    def plan(self, missing: Sequence[Any]) -> str:
        from misgen.experiments.populations import populations_of

        return f"{len(populations_of(missing))} populations, one after the other on the GPU"

    def train(self, missing: Sequence[Any]) -> Sequence[Any]:
        from misgen.experiments.populations import train_populations

        return train_populations(missing)
