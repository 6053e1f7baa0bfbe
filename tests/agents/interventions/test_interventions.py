"""The extension point, and the interventions that change one thing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.agents.tiny import TINY, make_env

from misgen.agents.interventions import (
    NAMES,
    Intervention,
    Minibatch,
    find_intervention,
    make_intervention,
)
from misgen.agents.interventions.augment import augment, cut_out, shifted
from misgen.agents.interventions.context import context
from misgen.agents.interventions.regularise import regularise
from misgen.agents.interventions.repair import repair
from misgen.agents.population import Population
from misgen.agents.ppo import train_ppo
from misgen.agents.resume import keep, restore

SMALL = replace(TINY, total_steps=1536)
RNG = np.random.default_rng


def trained_with(intervention, settings=SMALL, seed=5):
    return train_ppo(make_env(diversity=0.1), settings, train_seed=seed, intervention=intervention)


def same_weights(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_every_file_holds_an_intervention_of_its_name_and_each_has_a_config():
    from importlib.resources import files

    for name in NAMES:
        assert isinstance(make_intervention(name, {}), Intervention)
        assert (
            f"name: {name}\n" in (files("misgen.configs") / f"intervention/{name}.yaml").read_text()
        )


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("plrr", {}, "the interventions are plr, .*; got 'plrr'"),
        ("plr", {"scor": 1}, "has the settings score, .*; got 'scor'"),
        ("", {"score": "regret"}, "of none"),
        ("nowhere:at_all", {}, "nowhere:at_all cannot be imported"),
        ("math:pi", {}, "must be a function; it is a float"),
        ("textwrap:dedent", {"text": "a"}, "returned a str"),
        ("plr", {"score": "luck"}, "score is one of regret, .*, random; got 'luck'"),
        ("plr", {"replay_prob": 1}, "replay_prob is above 0 and below 1"),
        ("plr", {"temperature": 0}, "temperature positive; got 1024 and 0"),
        ("accel", {"num_edits": 0}, "num_edits is at least 1; got 0"),
        ("augment", {"drop_prob": 1}, "drop_prob is in"),
        ("augment", {"max_shift": -1}, "max_shift at least 0; got 3 and -1"),
        ("regularise", {"dropout_prob": 1.0}, "dropout_prob in"),
        ("context", {"share": 0}, "share is in"),
        ("repair", {"episodes": 0}, "episodes and num_epochs are at least 1"),
        ("repair", {"episodes": 10.5}, "episodes of intervention repair is a whole number"),
        ("augment", {"max_shift": True}, "is a whole number; got True"),
    ],
)
def test_what_makes_no_intervention_is_refused(name, settings, said):
    with pytest.raises(ValueError, match=said):
        make_intervention(name, settings)


def test_one_of_your_own_is_found_in_your_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_i.py").write_text(
        "from misgen.agents.interventions import Intervention\n"
        "def blank(*, share=1.0):\n"
        "    return Intervention(observe=lambda obs, rng: obs * (rng.random() >= share))\n"
    )
    blind = make_intervention("mine_i:blank", {"share": 1.0})
    assert not blind.observe(np.ones((2, 3), np.uint8), RNG(0)).any()
    weights = trained_with(blind).agent.weights
    first = weights["features_extractor.layers.1.weight"]
    before = Population([make_env()], [SMALL], [5]).snapshot().weights
    assert torch.equal(first, before["features_extractor.layers.1.weight"])  # it saw nothing
    assert find_intervention("mine_i:blank")(share=0.0).after is None


def test_hooks_that_change_nothing_change_nothing():
    idle = Intervention(
        observe=lambda obs, rng: obs,
        features=lambda features, rng: features,
        loss=lambda loss, minibatch: loss,
        after=lambda agent, training: agent,
    )
    assert same_weights(
        trained_with(idle).agent.weights, trained_with(Intervention()).agent.weights
    )


CHANGES = {
    "plr": {"buffer_size": 64},
    "accel": {"buffer_size": 64, "num_edits": 1},
    "augment": {"drop_prob": 0.2, "cutout_prob": 0.5, "max_shift": 1},
    "regularise": {},
    "context": {"share": 0.25},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_killed_training_goes_on_to_the_same_weights(name, tmp_path):
    """With what the intervention drew, chose and kept; and twice the same is the same."""
    settings = replace(
        TINY, num_steps=64, total_steps=12 * 1024
    )  # a round of replay is one rollout

    def population():
        return Population(
            [make_env(diversity=0.1)], [settings], [5],
            interventions=[make_intervention(name, CHANGES[name])],
        )  # fmt: skip

    whole, file = population(), tmp_path / "resume.safetensors"
    for advances in range(12):
        if advances == 7:
            keep(whole, file)
        whole.advance()
    rest = population()
    assert restore(rest, file)
    for _ in range(5):
        rest.advance()
    assert same_weights(rest.snapshot().weights, whole.snapshot().weights)
    assert rest.updates == whole.updates
    assert rest.outcome(0).seen == whole.outcome(0).seen


def test_what_has_updates_of_its_own_is_trained_one_at_a_time():
    envs, blind = [make_env(), make_env()], augment()
    Population(envs, [TINY] * 2, [0, 1], interventions=[blind, blind])
    with pytest.raises(ValueError, match="population of 2; train such agents one at a time"):
        Population(envs, [TINY] * 2, [0, 1], interventions=[regularise(), blind])


def test_agents_that_see_less_do_not_disturb_each_other():
    """What is drawn for one does not depend on how often the other's episodes are cut."""

    def trained(seeds):
        envs = [make_env(seed=seed) for seed in seeds]
        for env in envs:
            env.distribution = replace(env.distribution, horizon_steps=5 + env.train_seed)
        hooks = [augment(drop_prob=0.3)] * len(seeds)
        one = Population(envs, [TINY] * len(seeds), seeds, interventions=hooks)
        for _ in range(3):
            one.advance()
        return one

    alone, together = trained([3]), trained([3, 9])
    for name, value in alone.snapshot().weights.items():
        torch.testing.assert_close(value, together.snapshot().weights[name], atol=1e-5, rtol=0)
    state = [one.own_rngs[0].bit_generator.state for one in (alone, together)]
    assert state[0] == state[1]


def test_a_training_that_is_killed_in_what_comes_after_is_not_lost(tmp_path):
    def broken(agent, training):
        raise KeyboardInterrupt

    file, ended = tmp_path / "resume.safetensors", []
    for after in (broken, lambda agent, training: agent):
        try:
            agent = train_ppo(
                make_env(diversity=0.1), SMALL, train_seed=5,
                intervention=Intervention(after=after), resume=file,
                on_progress=lambda *what: ended.append(what),
            )  # fmt: skip
        except KeyboardInterrupt:
            assert file.exists()
    assert len(ended) == 3 and not file.exists()  # the rollouts of the first attempt alone
    assert same_weights(agent.agent.weights, trained_with(Intervention()).agent.weights)


# Augmented observations


def test_planes_are_dropped_cut_and_shifted():
    obs = np.ones((400, 3, 5, 7), np.uint8)
    seen = augment(drop_prob=0.25).observe(obs, RNG(0))
    shares = seen.mean(axis=(2, 3))
    assert set(shares.flat) == {0.0, 1.0}  # whole planes
    assert 0.7 < shares.mean() < 0.8
    assert obs.all()  # what the environment showed is untouched
    cut = obs.copy()
    cut_out(cut, RNG(0), 1.0, 3)
    assert (cut == cut[:, :1]).all()  # the same part of all planes
    assert {*(35 - cut[:, 0].sum(axis=(1, 2))).tolist()} == {1, 2, 3, 4, 6, 9}  # it may hang over
    board = np.zeros((200, 1, 5, 7), np.uint8)
    board[:, 0, 2, 3] = 1
    moved = shifted(board, RNG(0), 1)
    rows, cols = np.nonzero(moved[:, 0])[1:]
    assert {*zip(rows.tolist(), cols.tolist(), strict=True)} == {
        (r, c) for r in (1, 2, 3) for c in (2, 3, 4)
    }


def test_pictures_are_disturbed_in_their_channels():
    seen = augment(drop_prob=0.5).observe(np.full((50, 4, 6, 3), 9, np.uint8), RNG(0))
    assert seen.shape == (50, 4, 6, 3)
    assert {*seen.mean(axis=(1, 2)).flat} == {0.0, 9.0}


# Regularised networks


def test_weight_decay_is_a_gradient_to_zero_and_dropout_keeps_the_mean():
    weight = torch.tensor([[[3.0, -4.0]]], requires_grad=True)
    bias = torch.ones(1, 2, requires_grad=True)
    parameters = {"a.weight": weight, "a.bias": bias}
    loss = regularise(weight_decay=0.5).loss(
        torch.zeros(1), Minibatch(None, None, None, parameters)
    )
    assert loss.tolist() == [12.5]
    loss.sum().backward()
    assert weight.grad.tolist() == [[[3.0, -4.0]]]
    assert bias.grad is None
    kept = regularise(dropout_prob=0.25).features(torch.ones(1, 100, 400), RNG(0))
    assert {round(float(value), 4) for value in kept.unique()} == {0.0, 1.3333}
    assert abs(float(kept.mean()) - 1) < 0.01
    assert regularise(weight_decay=0.0).loss is None
    assert regularise(dropout_prob=0.0).features is None


def test_decay_leaves_smaller_weights():
    def size(weights):
        return sum(float(value.square().sum()) for value in weights.values())

    decayed = trained_with(regularise(weight_decay=0.01, dropout_prob=0.0)).agent.weights
    assert size(decayed) < 0.98 * size(trained_with(Intervention()).agent.weights)


# Context B


def test_a_share_of_the_environments_plays_context_b():
    """B of K3 has 8 x 8 squares, training 6 x 6."""
    env = make_env(16)
    trained = train_ppo(env, SMALL, train_seed=1, intervention=context(share=0.25))
    sizes = env.levels().level.size
    assert sizes.tolist() == [sizes[0]] * 12 + [sizes[0] + 2] * 4
    assert trained.seen["context_b_share"] == 0.25
    with pytest.raises(ValueError, match="of 16 environments are none"):
        train_ppo(make_env(16), SMALL, train_seed=1, intervention=context(share=0.01))


# Repair


def test_repair_plays_each_level_once_and_learns_from_its_steps_alone(monkeypatch):
    from misgen.agents import population as module

    rows = []
    update = Population.update

    def noting(self, rollout, batch, *rest):
        rows.append(batch)
        return update(self, rollout, batch, *rest)

    before = trained_with(Intervention())
    monkeypatch.setattr(module.Population, "update", noting)
    dose = repair(episodes=7, num_epochs=2)
    after = dose.after(before, how(before))
    (first, *_), size = rows, sum(batch.size for batch in rows)
    assert (after.seen["repair_episodes"], after.seen["repair_steps"]) == (7, size // 2)
    assert 0 < after.seen["repair_broken_episodes"] <= 7
    assert 7 <= size // 2 <= 7 * 50  # each step twice, in two passes; an episode ends within 50
    steps, slots = np.unique(np.concatenate([b[0] for b in rows])) // 7, np.unique(first[0] % 7)
    assert slots.tolist() == list(range(7))
    assert steps.max() < 50
    assert after.updates == before.updates + len(rows)
    assert after.agent.steps == before.agent.steps + size // 2
    assert not same_weights(after.agent.weights, before.agent.weights)


def how(trained):
    from misgen.agents.interventions import Training

    return Training(env=make_env(), settings=SMALL, train_seed=5)


def test_repair_is_on_levels_of_the_broken_draw_of_the_agent_own(monkeypatch):
    from misgen.agents.interventions import repair as module

    seen = []
    learn_from = module.learn_from

    def noting(population, levels, *rest):
        seen.append(levels)
        return learn_from(population, levels, *rest)

    monkeypatch.setattr(module, "learn_from", noting)
    before = trained_with(Intervention())
    repair(episodes=300).after(before, how(before))
    assert [len(levels) for levels in seen] == [256, 44]
    assert all(levels.broken.all() for levels in seen)
    assert len({*np.concatenate([levels.seeds for levels in seen]).tolist()}) == 300


def test_a_repair_that_breaks_the_agent_says_so():
    before = trained_with(Intervention())
    broken = {name: value * float("nan") for name, value in before.agent.weights.items()}
    with pytest.raises(FloatingPointError, match="repair cannot go on"):
        repair(episodes=3).after(
            replace(before, agent=replace(before.agent, weights=broken)), how(before)
        )
