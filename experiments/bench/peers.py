"""Steps of other projects' environments; run by envs.py in an environment that has them.

Arguments: what, batch, CPU-seconds. Prints the version of the project and the steps per CPU-second
(all threads together). Imports nothing of ours.
"""

import importlib.metadata
import sys
import time
from collections.abc import Callable

import numpy as np

STEPS = 256  # between two looks at the clock


def procgen_coinrun(batch: int) -> Callable[[], int]:
    """64x64x3 pictures, levels unlimited; it starts a fresh one by itself."""
    from procgen import ProcgenGym3Env

    env = ProcgenGym3Env(num=batch, env_name="coinrun", num_threads=1, distribution_mode="hard")
    rng = np.random.default_rng(0)
    actions = rng.integers(15, size=(max(STEPS // batch, 1), batch)).astype(np.int32)

    def work() -> int:
        for row in actions:
            env.act(row)
            env.observe()
        return int(actions.size)

    return work


def minigrid_doorkey(batch: int, pictures: bool = False) -> Callable[[], int]:
    """The agent's view of 7x7 cells: three numbers a cell, or 8 x 8 pixels a cell."""
    import gymnasium
    import minigrid  # noqa: F401  (registers the environments)
    from minigrid.wrappers import RGBImgPartialObsWrapper

    env = gymnasium.make("MiniGrid-DoorKey-8x8-v0", disable_env_checker=True)
    env = RGBImgPartialObsWrapper(env, tile_size=8) if pictures else env
    actions = np.random.default_rng(0).integers(7, size=STEPS).tolist()
    env.reset(seed=0)

    def work() -> int:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return STEPS

    return work


def main(what: str, batch: int, seconds: float) -> None:
    if what == "coinrun":
        work, package = procgen_coinrun(batch), "procgen-mirror"
    else:
        work, package = minigrid_doorkey(batch, pictures=what.endswith("-rgb")), "minigrid"
    work()
    done, start = 0, time.process_time()
    while (spent := time.process_time() - start) < seconds:
        done += work()
    print(importlib.metadata.version(package), done / spent)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
