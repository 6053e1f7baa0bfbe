"""`misgen train -m`: the runs of a sweep as jobs of our scheduler, on all cores of this machine.

Every configuration is checked before anything starts. What is finished is not trained again; what
fails is reported when it happens and costs nothing but itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore

from misgen.experiments.launchers.launcher import LauncherConf, MisgenLauncher


@dataclass
class LocalConf(LauncherConf):
    """hydra.launcher.*"""

    _target_: str = "hydra_plugins.misgen.local.LocalLauncher"
    n_jobs: int = 0  # processes at a time; 0 = one a core


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
        from misgen.experiments.application import at_work
        from misgen.experiments.runs.sweep import sweep_configs

        with at_work(has_begun=False):
            sweep_configs(batch)


class LocalLauncher(MisgenLauncher):
    kind, way = LocalConf, "runs.sweep"
