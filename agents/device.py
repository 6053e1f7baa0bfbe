"""Where a population is computed, and how a GPU is kept busy there."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from misgen.agents.networks import WIDTHS, Architecture, Network, pooled, shapes_of
from misgen.agents.settings import PPOSettings

MARGIN_FRAC = 0.1  # of the free memory: what allocators cannot use
WARM_UPS = 3  # runs before a graph is captured, as torch asks


@dataclass(frozen=True, kw_only=True)
class Device:
    """How K agents are computed. On the CPU all but the name changes speed only: what is meant for
    a GPU can be tried out there."""

    name: str  # cpu or cuda
    is_bf16: bool = False  # all but the last layers are computed in bfloat16
    has_bits: bool = False  # binary planes are sent and kept as bits, not as numbers of lit inputs
    num_groups: int = 1  # of agents: one acts while the environments of another step
    is_captured: bool = False  # the update of a minibatch is recorded once and replayed

    @classmethod
    def of(cls, name: str, is_bf16: bool = False) -> Self:
        """What suits a CPU or a GPU."""
        on_gpu = name == "cuda"
        return cls(
            name=name,
            is_bf16=is_bf16,
            has_bits=on_gpu,
            num_groups=2 if on_gpu else 1,
            is_captured=on_gpu,
        )


def choose_device(device: str, network: Network) -> str:
    """`cpu` or `cuda`; `auto` takes a GPU if there is one and the network convolves.

    Raises:
        ValueError: unknown device, or cuda without a GPU.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device is auto, cpu or cuda; got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "device=cuda needs a GPU that torch can use; torch.cuda.is_available() is False; "
            "use device=cpu, or install a torch built for this machine's driver"
        )
    if device == "auto":
        return "cuda" if network.name == "impala" and torch.cuda.is_available() else "cpu"
    return device


def capture(work: Callable[[], None], device: str) -> Callable[[], None]:
    """What does `work` again on the same tensors: on a GPU by one launch instead of one an
    operation. `work` is done a few times before."""
    if device == "cpu":
        return work
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UPS):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


class Stretches:
    """Work that a GPU was given in pieces: waiting for a piece, and how long it was busy."""

    def __init__(self, device: str) -> None:
        self.on_gpu = device == "cuda"
        self.pieces: list[tuple[Any, Any]] = []

    def begin(self) -> None:
        if self.on_gpu:
            timed = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
            self.pieces.append((timed[0], timed[1]))
            self.pieces[-1][0].record()

    def end(self) -> Callable[[], None]:
        """Returns what waits until the piece is done."""
        if not self.on_gpu:
            return lambda: None
        done = self.pieces[-1][1]
        done.record()
        return done.synchronize

    def busy_s(self) -> float:
        """Seconds of the pieces since the last call, all of which are done."""
        seconds = sum(start.elapsed_time(end) for start, end in self.pieces) / 1e3
        self.pieces.clear()
        return float(seconds)


def to_host(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> Tensor:
    """Room on the CPU from and to which a GPU copies while the CPU goes on."""
    return torch.zeros(shape, dtype=dtype, pin_memory=device == "cuda")


# --- Memory --------------------------------------------------------------------------------------


def largest_population(
    architecture: Architecture, settings: PPOSettings, device: Device, free: int | None = None
) -> int:
    """How many agents fit into `free` bytes; by default what is free on the device now."""
    there = free_bytes(device.name) if free is None else free
    return int((1 - MARGIN_FRAC) * there // agent_bytes(architecture, settings, device))


def require_room(
    num_agents: int, architecture: Architecture, settings: PPOSettings, device: Device
) -> None:
    """ValueError unless the device has memory for so many agents."""
    fitting = largest_population(architecture, settings, device)
    if num_agents > fitting:
        need = num_agents * agent_bytes(architecture, settings, device) / 2**30
        remedy = (
            f"train them in populations of at most {fitting}"
            if fitting
            else "use a smaller network, or fewer num_envs, num_steps or batch_size"
        )
        raise ValueError(
            f"{num_agents} agents need {need:.2g} GiB for their training and "
            f"{free_bytes(device.name) / 2**30:.2g} GiB are free on {device.name}; {remedy}"
        )


def free_bytes(device: str) -> int:
    """Memory that nothing uses now."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):  # not Linux: all that there is
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def agent_bytes(architecture: Architecture, settings: PPOSettings, device: Device) -> int:
    """What training one more agent takes, by counting what is kept: an estimate from above."""
    num_steps = settings.rollout_steps
    weights, units = _sizes(architecture)
    a_pass = 2 if device.is_bf16 else 4
    learned = weights * (4 * 4 + (a_pass if device.is_bf16 else 0))  # Adam's, the gradient
    seen = -(-architecture.num_inputs // 8) if device.has_bits else architecture.num_inputs
    columns = 2 * (8 + 3 * 4) + 8 * settings.num_epochs + 4 * architecture.num_actions
    batch = max(settings.batch_size, settings.num_envs)
    # A sample's inputs as bytes (bits go through integers of a byte) and as numbers, what every
    # layer puts out and its gradient, and the loss with some tensors of logits.
    sample = architecture.num_inputs * (2 + a_pass) + units * 2 * a_pass
    sample += 10 * 4 * (architecture.num_actions + 1)
    return learned + num_steps * (seen + columns) + batch * sample


def _sizes(architecture: Architecture) -> tuple[int, int]:
    """Numbers of weights of a network, and of units that its layers put out for one sample."""
    weights = sum(math.prod(shape) for shape in shapes_of(architecture).values())
    network = architecture.network
    units = 2 * network.features_dim + 4 * network.head_dim + 12 * network.gru_dim  # its gates
    if network.name == "impala":
        _, *size = architecture.input_shape
        for width in WIDTHS:
            before, size = math.prod(size), pooled(size)
            units += width * (before + 11 * math.prod(size))  # two blocks of five, the pooling
    return weights, units
