"""What can be asked for: frozen dataclasses are the schema, with defaults and units.

YAML under configs/ states only what differs; families and cells are values checked against the
registry. Hydra stays at the edge: commands compose a config, turn it into these objects and pass
plain dictionaries to jobs.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, is_dataclass
from typing import Any, cast, get_type_hints

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from misgen.agents.interventions import Intervention, make_intervention
from misgen.agents.settings import CloningSettings, PPOSettings, settings_as_data
from misgen.analysis.text import hint
from misgen.envs.core.family import Family
from misgen.envs.core.render import Renderer
from misgen.envs.core.types import Cell, LevelDistribution
from misgen.envs.families import choices, find_family, reference
from misgen.experiments.cell_choice import DEFAULT_CELL, choose_cell
from misgen.experiments.runs.training_log import require_tensorboard

METHODS = ("ppo", "sb3_ppo", "cloning")
MAX_AGENT_NUMBER = 10**6  # evaluation blocks of agents are 10^6 level seeds apart
GROUPS = ("agent", "intervention", "launcher")  # of files in configs
RENAMED = {
    "family.name": f"family=NAME, or the cell alone, as cell={DEFAULT_CELL}",
    "family.cell": f"a cell is named by its code, as cell={DEFAULT_CELL}",
    "family.observation_mode": "observation_mode=MODE",
}
"""Words of misgen 0.3.0 -> what is said instead."""


@dataclass(frozen=True)
class InterventionConfig:
    diversity: float = 0.0  # d: probability that a training level takes the broken draw
    specification: float = 1.0  # q: weight of the intended reward; the proxy's is 1 - q
    num_levels: int = 0  # size of a finite training set; 0 = unlimited
    name: str = ""  # of misgen.agents.interventions, or module:function of one's own; "" = none
    settings: dict[str, Any] = field(default_factory=dict, hash=False)  # its keywords

    def __post_init__(self) -> None:
        make_intervention(self.name, self.settings)


@dataclass(frozen=True)
class AgentConfig:
    method: str = "ppo"  # or sb3_ppo, or cloning
    settings: PPOSettings = field(default_factory=PPOSettings)  # of ppo and sb3_ppo
    cloning: CloningSettings = field(default_factory=CloningSettings)

    def settings_of_method(self) -> PPOSettings | CloningSettings:
        return self.cloning if self.method == "cloning" else self.settings


@dataclass(frozen=True)
class TrainConfig:
    """One agent: what `misgen train` makes.

    Made, it names its family as `find_family` finds it, and its cell by the code. Settings left
    out are the defaults of PPOSettings here, and what the family declares in a composed config.
    """

    family: str = ""  # a name, or module:FAMILY of one's own (its code is executed); "" = cell's
    cell: str = ""  # a code, as C2; "" = the family's default
    observation_mode: str = "planes"
    agent: AgentConfig = field(default_factory=AgentConfig)
    intervention: InterventionConfig = field(default_factory=InterventionConfig)
    train_seed: int = 0  # names the agent: network, levels and evaluation block
    checkpoints: str = "final"  # what is kept; all: also 1/8, 1/4 and 1/2 of the training
    tensorboard: bool = False  # write its curve for TensorBoard, too
    study: str = "train"
    device: str = "auto"  # auto, cpu or cuda
    precision: str = "auto"  # float32, bfloat16 (on a GPU only), or auto = what the device has
    num_threads: int = 1  # of torch and of the environments

    def __post_init__(self) -> None:
        family, cell = choose_cell(self.family, self.cell)
        object.__setattr__(self, "family", reference(family))
        object.__setattr__(self, "cell", cell.code)
        self._check_values()
        self.distribution()  # d and q in [0, 1], a proxy reward where q < 1
        Renderer(family, cell, self.observation_mode)

    def _check_values(self) -> None:
        if not 0 <= self.train_seed < MAX_AGENT_NUMBER:
            raise ValueError(
                f"train_seed is an integer in [0, {MAX_AGENT_NUMBER}), the number of the agent; "
                f"got {self.train_seed}"
            )
        for name, value, known in (
            ("agent.method", self.agent.method, METHODS),
            ("checkpoints", self.checkpoints, ("final", "all")),
            ("device", self.device, ("auto", "cpu", "cuda")),
            ("precision", self.precision, ("auto", "float32", "bfloat16")),
        ):
            if value not in known:
                raise ValueError(f"{name} is one of {choices(value, known)}")
        method, intervention = self.agent.method, self.intervention.name
        if intervention and method != "ppo":
            got = f"intervention {intervention} of agent.method={method}"
            raise ValueError(f"an intervention acts in agent=ppo; got {got}")
        if self.agent.settings.gru_dim and (method != "ppo" or intervention == "repair"):
            raise ValueError(
                "agent=ppo alone remembers, and repair learns from steps in any order, so "
                f"agent.settings.gru_dim is 0; got {self.agent.settings.gru_dim}; leave it out"
            )
        if method == "cloning" and self.intervention.specification != 1:
            raise ValueError(
                "cloning learns from no reward, so intervention.specification is 1; got "
                f"{self.intervention.specification}; use agent=ppo"
            )
        if self.tensorboard:
            require_tensorboard()
        if self.precision == "bfloat16" and self.device == "cpu":
            raise ValueError("on a CPU precision is float32; got bfloat16; use device=cuda")
        if self.num_threads < 1:
            raise ValueError(f"num_threads is at least 1; got {self.num_threads}")

    def get_family(self) -> Family:
        return find_family(self.family)

    def get_cell(self) -> Cell:
        return self.get_family().cell(self.cell)

    def get_intervention(self) -> Intervention:
        return make_intervention(self.intervention.name, self.intervention.settings)

    def distribution(self) -> LevelDistribution:
        """The training levels, with the training reward."""
        asked = self.intervention
        cell = self.get_cell().at_specification(asked.specification)
        return self.get_family().train_distribution(cell, asked.diversity, asked.num_levels)


def as_dict(config: TrainConfig) -> dict[str, Any]:
    """A config as plain data: a run's identity. Without hooks or a GRU as before there were any."""
    data = asdict(config)
    if not config.intervention.name:
        del data["intervention"]["name"], data["intervention"]["settings"]
    data["agent"]["settings"] = settings_as_data(config.agent.settings)
    return data


def from_dict(kind: type, data: Mapping[str, Any]) -> Any:
    """The inverse of `as_dict`; validates again."""
    hints: dict[str, Any] = get_type_hints(kind)
    values = {}
    for item in fields(kind):
        if item.name not in data:  # see `as_dict`
            continue
        hint, value = hints[item.name], data[item.name]
        is_nested = isinstance(hint, type) and is_dataclass(hint)
        values[item.name] = from_dict(hint, value) if is_nested else value
    return kind(**values)


def register() -> None:
    """Store the schemas where configs/*.yaml find them, and the resolver that these name."""
    ConfigStore.instance().store(name="train_schema", node=_schema(TrainConfig))
    OmegaConf.register_new_resolver("declared", _declared, replace=True)


def _declared(setting: str, *, _root_: DictConfig) -> Any:
    """What the cell of a config being composed declares, or else its family."""
    family, cell = choose_cell(_root_.family, _root_.cell)
    return getattr(cell, setting, None) or getattr(family, setting)


def _schema(kind: type) -> DictConfig:
    """An open structured config: OmegaConf makes every frozen dataclass in one read-only."""
    node: DictConfig = OmegaConf.structured(kind)
    OmegaConf.set_struct(node.intervention.settings, False)  # the intervention says what there is
    nodes = [node]
    for each in nodes:
        OmegaConf.set_readonly(each, None)
        nodes += [child for child in each.values() if OmegaConf.is_dict(child)]
    return node


def compose(name: str, overrides: list[str]) -> Any:
    """The config object that a command line with these overrides means; ValueError where a value
    is refused."""
    return to_object(composed(name, overrides))


def composed(name: str, overrides: list[str]) -> DictConfig:
    """The same before it is resolved and checked."""
    register()
    overrides = in_full(overrides)
    refuse_words(overrides)
    with contextlib.ExitStack() as stack:
        if not GlobalHydra.instance().is_initialized():  # else an application composes a sweep
            module = hydra.initialize_config_module("misgen.configs", version_base="1.3")
            stack.enter_context(module)
        try:
            return hydra.compose(name, overrides)
        except HydraException as error:
            words = f"{error} {error.__cause__ or ''}".split()
            raise ValueError(" ".join(words)) from error


def to_object(composed: DictConfig) -> Any:
    """The config object; ValueError where a value is refused."""
    try:
        return OmegaConf.to_object(composed)
    except FrozenInstanceError as error:  # only what was added is set on a finished object
        name = str(error).partition(" field ")[2]
        raise ValueError(
            f"+ adds no setting that there is not; got {name}; --cfg job shows all that there are, "
            "and --config-dir FOLDER finds a +GROUP=NAME of your own"
        ) from error
    except (ValueError, OmegaConfBaseException) as error:
        raise ValueError(_refusal(error)) from error


def _refusal(error: BaseException) -> str:
    """What a dataclass or a resolver said, without what OmegaConf puts around it."""
    while isinstance(error, OmegaConfBaseException):
        is_resolver = isinstance(error, InterpolationResolutionError)
        inside = error.__context__ if is_resolver else error.__cause__
        if inside is None:
            break
        error = inside
    return str(error)


def in_full(words: Iterable[str]) -> list[str]:
    """Words of a command line with an intervention of the user's own said as Hydra takes it: it is
    no file of the group."""
    full: list[str] = []
    for word in words:
        key, _, value = word.partition("=")
        is_own = key == "intervention" and ":" in value
        if is_own and "," in value:
            swept = value.replace("none", "''")
            raise ValueError(
                f"several interventions of which one is your own are swept by name; got {word}; "
                f"write intervention.name={swept} ('' is none)"
            )
        full += ["intervention=none", f"intervention.name={value}"] if is_own else [word]
    return full


def _keys(kind: type, prefix: str = "") -> Iterator[str]:
    """The settings of a dataclass and of those in it, as overrides name them."""
    for name, hint_ in get_type_hints(kind).items():
        yield prefix + name
        if isinstance(hint_, type) and is_dataclass(hint_):
            yield from _keys(hint_, f"{prefix}{name}.")


def refuse_words(overrides: list[str]) -> None:
    """ValueError for a setting that has another name now, or that there is not, with the nearest;
    Hydra advises to add it."""
    known = [*_keys(TrainConfig), "launcher"]
    for override in overrides:
        key, is_set, value = override.partition("=")
        if (old := key.lstrip("+~")) in RENAMED:
            raise ValueError(f"{old}= is not a word any more: {RENAMED[old]}; got {override}")
        if key in GROUPS and value.startswith("["):
            raise ValueError(
                f"a list would merge its configs; got {override}; for a run with each of them "
                f"write -m {key}={value.strip('[]')}"
            )
        is_free = key.startswith(("+", "~", "-", "hydra", "intervention.settings."))
        if is_set and key not in known and not is_free and "/" not in key and "@" not in key:
            raise ValueError(f"there is no setting {key!r}; {hint(key, known)}")


# --- Many configurations, without composing each anew (0.1 s) ------------------------------------


def composed_once(words: list[str], bases: dict[tuple[str, ...], DictConfig]) -> TrainConfig:
    """One run, as `compose` makes it. A choice of config groups is composed once and kept in
    `bases`, values are put into a copy of it.

    Raises:
        ValueError: a setting is refused.
    """
    words = in_full(words)
    refuse_words(words)
    try:
        parsed = OverridesParser.create().parse_overrides(words)
        if all(map(_is_plain, parsed)):
            groups = tuple(o.input_line for o in parsed if _is_group(o) and o.input_line)
            if groups not in bases:
                bases[groups] = composed("train", list(groups))
            one = copy.deepcopy(bases[groups])
            for override in parsed:
                if not _is_group(override):
                    OmegaConf.update(one, override.key_or_group, override.value(), merge=True)
            return cast(TrainConfig, to_object(one))
    except (HydraException, OmegaConfBaseException):
        pass  # it is refused, and with other words
    return cast(TrainConfig, compose("train", words))


def _is_plain(override: Override) -> bool:
    """Whether it chooses a group or sets a value that there is."""
    is_more = override.is_add() or override.is_delete() or override.is_sweep_override()
    return not is_more and not override.key_or_group.startswith("hydra")


def _is_group(override: Override) -> bool:
    return override.key_or_group in GROUPS or "/" in override.key_or_group
