"""Does memory help agents that reach neither goal? `python -m tests.agents.frame_stack C2 FOLDER`

Stable-Baselines3's PPO learns from one frame and from four, at a d where most levels end in neither
goal, and every agent plays the levels of its own block that tell the goals apart. Leaves
frame_stack_CELL.csv: a line an agent with its shares of the levels at variants 10 and 11.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecFrameStack

from misgen.agents.play import outcomes, play_episodes
from misgen.agents.policy import choose
from misgen.agents.sb3_ppo import make_ppo
from misgen.agents.settings import PPOSettings
from misgen.agents.vec_env import BatchVecEnv
from misgen.envs.core.batch import BatchEnv
from misgen.envs.core.levels import sample_quadruples
from misgen.envs.core.plans import is_distinguishing, solve_together
from misgen.envs.core.types import Array
from misgen.envs.families import find_cell

FIRST = 100  # number of the first agent
EVAL_BASE, BLOCK = 10**9, 10**6  # of level seeds, as `misgen evaluate` has it


class OnFrames:
    """A policy on the last frames of each slot, zeros before the first, as VecFrameStack has it."""

    name = "frames"

    def __init__(self, model: PPO, frames: int) -> None:
        self.model, self.frames = model, frames

    def start(self, env: BatchEnv) -> None:
        return None

    def act(self, obs: Array, state: Any, noise: Array) -> tuple[Array, Any, Array]:
        planes = obs.shape[1]
        if state is None:
            state = np.zeros((len(obs), self.frames * planes, *obs.shape[2:]), obs.dtype)
        state = np.concatenate([state[:, planes:], obs], axis=1)
        with torch.no_grad():
            stacked, _ = self.model.policy.obs_to_tensor(state)
            logits = self.model.policy.get_distribution(stacked).distribution.logits.numpy()
        return choose(logits, noise), state, logits


def train(code: str, d: float, frames: int, number: int, steps: int) -> PPO:
    family, cell = find_cell(code)
    settings = PPOSettings(total_steps=steps, gamma=family.gamma)
    env = BatchEnv(family, family.train_distribution(cell, d), settings.num_envs, train_seed=number)
    one_frame = make_ppo(BatchVecEnv(env), settings, device="cpu", train_seed=number)
    stacked = VecFrameStack(BatchVecEnv(env), frames, channels_order="first")
    model = PPO(
        "MlpPolicy", stacked, seed=number, device="cpu",
        learning_rate=one_frame.learning_rate, n_steps=settings.num_steps,
        batch_size=settings.batch_size, n_epochs=settings.num_epochs, gamma=settings.gamma,
        gae_lambda=settings.gae_lambda, clip_range=settings.clip_range,
        ent_coef=settings.ent_coef, vf_coef=settings.vf_coef,
        max_grad_norm=settings.max_grad_norm, policy_kwargs=one_frame.policy_kwargs,
    )  # fmt: skip
    return model.learn(steps, log_interval=None)  # type: ignore[arg-type]


def agent(job: tuple[str, float, int, int, int, int]) -> dict[str, Any]:
    """Its line. job: cell, d, frames, number, steps of training, quadruples."""
    code, d, frames, number, steps, levels = job
    torch.set_num_threads(1)
    family, cell = find_cell(code)
    policy = OnFrames(train(code, d, frames, number, steps), frames)
    quadruples = sample_quadruples(family, cell, EVAL_BASE + number * BLOCK + np.arange(levels))
    line: dict[str, Any] = {"cell": code, "d": d, "frames": frames, "agent": number, "steps": steps}
    for pair in (("00", "10"), ("01", "11")):
        plans, judged = solve_together([quadruples[variant] for variant in pair])
        tells = np.flatnonzero(is_distinguishing(plans[1].plays.at(0)))
        played = quadruples[pair[1]].take(tells)
        horizon = judged[tells] * cell.horizon_factor(pair[1])
        episodes = play_episodes(
            policy, played, horizon_steps=horizon, judged_at_steps=judged[tells], eval_seed=0,
            observation_mode="planes",
        )  # fmt: skip
        capable, failed, _ = outcomes(cell, played, episodes)
        shares = {"intended": capable & ~failed, "proxy": capable & failed, "neither": ~capable}
        line |= {f"levels {pair[1]}": len(tells)}
        line |= {f"{word} {pair[1]}": round(float(x.mean()), 3) for word, x in shares.items()}
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("cell")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--d", type=float, default=0.05)
    parser.add_argument("--agents", type=int, default=5)
    parser.add_argument("--frames", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--levels", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    rest = options.steps, options.levels
    jobs = [
        (options.cell, options.d, frames, FIRST + i, *rest)
        for i in range(options.agents)
        for frames in options.frames
    ]
    options.folder.mkdir(parents=True, exist_ok=True)
    path = options.folder / f"frame_stack_{options.cell}.csv"
    lines: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for line in pool.imap(agent, jobs):
            lines.append(line)
            with path.open("w", newline="") as file:  # as they come: minutes each
                writer = csv.DictWriter(file, list(line), lineterminator="\n")
                writer.writeheader()
                writer.writerows(lines)


if __name__ == "__main__":
    main()
