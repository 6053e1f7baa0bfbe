"""`misgen bench`: tasks are measured in turn, and peers that cannot be run are only a note."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from misgen.experiments.bench import command as bench
from misgen.experiments.bench import envs as bench_envs

# Every line once, with kernels as plain Python: compiling all of them would take minutes.
SMALL = """
import sys
from misgen.experiments.bench import command as bench
from misgen.experiments.bench import envs as bench_envs
bench_envs.BATCHES, bench_envs.AMOUNT = (1,), dict.fromkeys(bench_envs.AMOUNT, 1)
sys.exit(bench.main(sys.argv[1:]))
"""


SCRIPT = Path(bench.__file__).with_name("peers.py")


def test_without_a_topic_the_topics_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([]) == 0
    listed = capsys.readouterr().out
    assert "  envs " in listed and "  risk " in listed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["env"], r"bench has no topic 'env'; did you mean 'envs'\?"),
        (["risk", "--draws", "0"], "at least 1; got 0 and 3"),
        (["envs", "--seconds", "0"], "got 0 and 5"),
        (["envs", "--rounds", "0"], "got 0.2 and 0"),
    ],
)
def test_errors_name_what_is_wrong(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bench.main(arguments)


def test_tasks_are_measured_in_turn() -> None:
    order = []

    def task(name: str, rates: list[float]) -> bench.Task:
        def rate(seconds: float) -> float:
            order.append(name)
            return rates.pop(0)

        return bench.Task(name, "", "", 1, rate)

    first, second = bench.measure([task("a", [5, 1, 9]), task("b", [2, 2, 2])], 0.1, 3)
    assert order == ["a", "b"] * 3
    assert (first["median"], first["low"], first["high"]) == (5, 1, 9)
    assert second["median"] == 2


def test_a_rate_is_work_per_second_of_this_process() -> None:
    calls = []

    def work() -> int:
        calls.append(sum(range(10_000)))
        return 7

    rate = bench.in_process(work)(0.01)
    assert 0 < rate <= 7 * len(calls) / 0.01


def test_every_line_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    arguments = ["envs", "--seconds", "1e-4", "--rounds", "1", "--json", str(file)]
    done = subprocess.run(
        [sys.executable, "-c", SMALL, *arguments],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text())
    lines = {(r["name"], r["family"], r["mode"]) for r in report["results"]}
    assert {("BatchEnv", "coinrun", "rgb64"), ("gymnasium.Env", "coinrun", "planes")} <= lines
    assert {("levels", "keys_and_chests", ""), ("plans", "keys_and_chests", "")} <= lines
    assert all(r["median"] > 0 for r in report["results"])
    assert report["bytes_per_env"]["keys_and_chests"]["planes"] > 1000
    assert report["machine"]["cores"] >= 1 and report["versions"]["numpy"]
    assert "us per level" in done.stdout and "ours / peer" not in done.stdout


@pytest.mark.parametrize(
    ("rate", "shown"), [(12_345_678, "12.3 M"), (456_789, "457 k"), (9.876, "9.88"), (0.5, "0.5")]
)
def test_rates_have_three_digits(rate: float, shown: str) -> None:
    assert bench.short_rate(rate) == shown


def peer(monkeypatch: pytest.MonkeyPatch, *command: str) -> tuple[list[float], list[str]]:
    """Rates of a peer that is this command, and the notes."""
    python = [sys.executable, *command]
    monkeypatch.setattr(bench_envs, "_peer_python", lambda packages: python)
    monkeypatch.setattr(bench_envs, "single_steps", lambda family, mode: lambda: 1)
    notes: list[str] = []
    toy = bench_envs.Peer("Toy", ("toy",), (("coinrun", "coinrun", "planes", 1),))
    return [theirs.rate(0.5) for _, theirs in toy.pairs(notes)], notes


def test_a_peer_says_its_version_and_rate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = "import sys\nprint('1.0', 1000 * float(sys.argv[3]))"
    (tmp_path / "toy.py").write_text(script)
    assert peer(monkeypatch, str(tmp_path / "toy.py")) == ([500.0], [])


def test_a_peer_that_is_not_installed_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    rates, (note,) = peer(monkeypatch, "-P", str(SCRIPT))
    assert rates == []
    assert note == "Toy was not measured: ModuleNotFoundError: No module named 'procgen'"


def test_without_uv_there_are_no_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_envs.shutil, "which", lambda name: None)
    notes: list[str] = []
    assert [pair for peer in bench_envs.PEERS for pair in peer.pairs(notes)] == []
    assert notes[0].startswith("Procgen was not measured: uv") and len(notes) == 2


def test_draws_of_the_risk_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "risk.json"
    assert bench.main(["risk", "--draws", "1000", "--rounds", "1", "--json", str(file)]) == 0
    assert "1e+03 draws x 20 predictions" in capsys.readouterr().out
    numbers = json.loads(file.read_text())
    assert numbers["draws_per_s"] > 1000 and numbers["machine"]["cores"] >= 1


def test_trainers_are_measured_beside_each_other(tmp_path, capsys, monkeypatch) -> None:
    """Every line, on rollouts of 64 steps."""
    from misgen.experiments.bench import train as bench_train

    small = functools.partial(bench_train.PPOSettings, num_envs=8, num_steps=8, batch_size=32)
    monkeypatch.setattr(bench_train, "PPOSettings", small)
    monkeypatch.setattr(bench_train, "POPULATIONS", (1, 2))
    file = tmp_path / "train.json"
    words = ["train", "--seconds", "0.01", "--rounds", "1", "--json", str(file)]
    assert bench.main(words) == 0
    report = json.loads(file.read_text())
    lines = [(r["family"], r["name"], r["batch"]) for r in report["results"]]
    names = [("SB3 PPO", 1), ("CleanRL-style", 1), ("misgen PPO", 1), ("misgen PPO", 2)]
    assert lines == [(code, *name) for code in ("C2", "K3") for name in names]
    for code in ("C2", "K3"):
        assert sum(report["shares"][code].values()) == pytest.approx(1)
        assert set(report["first_layer_us"][code]) == {"dense", "embedding_bag", "lit inputs"}
    assert "x SB3" in capsys.readouterr().out


def test_without_a_gpu_there_is_nothing_to_measure(monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=r"needs a GPU .* use device=cpu"):
        bench.main(["gpu", "planes"])


def test_populations_are_measured(tmp_path, capsys, monkeypatch) -> None:
    """Every line, on the CPU: of its numbers only the shares of the time mean something."""
    from misgen.agents.device import Device
    from misgen.experiments.bench import gpu as bench_gpu

    small = functools.partial(bench_gpu.PPOSettings, num_envs=8, num_steps=8, batch_size=32)
    monkeypatch.setattr(bench_gpu, "PPOSettings", small)
    like = Device(name="cpu", has_bits=True, num_groups=2, is_captured=True)
    monkeypatch.setattr(bench_gpu, "DEVICE", like)
    monkeypatch.setattr(bench_gpu, "check_gpu", lambda: None)
    monkeypatch.setitem(bench_gpu.PARTS, "planes", ([("K3", "planes")], (1, 2, 10**9)))
    file = tmp_path / "gpu.json"
    words = ["gpu", "planes", "--seconds", "0.01", "--rounds", "1", "--json", str(file)]
    assert bench.main(words) == 0
    report = json.loads(file.read_text())
    lines = [(r["name"], r["batch"]) for r in report["results"]]
    assert lines == [("SB3 PPO", 1), ("misgen PPO", 1), ("misgen PPO", 2)]
    for split in report["split"].values():
        del split["GPU waits, of a rollout"], split["peak memory, GiB"]
        assert sum(split.values()) == pytest.approx(1)
    assert "GPU waits" in capsys.readouterr().out
