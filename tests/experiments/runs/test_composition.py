"""Many configurations of training are those that Hydra composes one by one."""

from collections.abc import Sequence

import pytest

from misgen.experiments import config
from misgen.experiments.config import TrainConfig, compose, composed_once

WORDS = [
    "cell=C2",
    "cell=K3 train_seed=7 study=mine",
    "family=maze",
    "cell=C2 intervention.diversity=0.1 intervention.num_levels=50",
    "cell=C2 agent.settings.total_steps=65536 agent.settings.learning_rate=1e-3",
    "cell=C2 agent=cloning",
    "agent=cloning cell=K2 agent.cloning.batch_size=64",
    "cell=K3 agent=sb3_ppo intervention=control",
    "intervention=control cell=K3 agent=sb3_ppo train_seed=2",
    "cell=C2 intervention=none",
    "++train_seed=3 cell=C2",
]


@pytest.fixture
def hydra_composed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Hydra was asked to compose."""
    asked: list[str] = []
    original = config.composed

    def counted(name: str, words: list[str]) -> object:
        asked.append(" ".join(words))
        return original(name, words)

    monkeypatch.setattr(config, "composed", counted)
    return asked


def all_of(lines: Sequence[str]) -> list[TrainConfig]:
    bases: dict[tuple[str, ...], object] = {}
    return [composed_once(line.split(), bases) for line in lines]  # type: ignore[arg-type]


def test_each_is_the_one_that_is_composed_by_itself() -> None:
    """Also where another one of the same groups was made before."""
    one_by_one = [compose("train", line.split()) for line in WORDS]
    assert all_of(WORDS) == one_by_one
    assert all_of(WORDS[::-1]) == one_by_one[::-1]


def test_a_choice_of_groups_is_composed_once(hydra_composed: list[str]) -> None:
    all_of(WORDS * 3)
    assert sorted(hydra_composed) == [
        "", "agent=cloning", "agent=sb3_ppo intervention=control",
        "intervention=control agent=sb3_ppo", "intervention=none",
    ]  # fmt: skip


def test_what_is_composed_once_is_not_changed_by_what_is_made_of_it() -> None:
    first, _, again = all_of(["cell=C2", "cell=C2 agent.settings.total_steps=65536", "cell=C2"])
    assert first == again and first is not again


def test_what_is_more_than_a_value_is_composed_by_hydra(hydra_composed: list[str]) -> None:
    line = "cell=C2 hydra.verbose=true"
    found = all_of([line])
    assert hydra_composed == [line]
    assert found == [compose("train", line.split())]


@pytest.mark.parametrize(
    "line",
    [
        "cell=C9",
        "cell=C2 intervention.diversty=1",
        "cell=C2 intervention.diversity=2",
        "cell=C2 train_seed=abc",
        "cell=C2 agent=nobody",
        "cell=C2 train_seed=1,2",
        "cell=C2 agent=[ppo",
    ],
)
def test_what_is_refused_is_refused_in_the_same_words(line: str) -> None:
    with pytest.raises(ValueError) as expected:
        compose("train", line.split())
    with pytest.raises(ValueError) as found:
        all_of(["cell=C2", line])
    assert str(found.value) == str(expected.value)
