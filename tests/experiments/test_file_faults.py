"""Faults of files by kind: links, closed pipes, full disks, names and locales, systems without
POSIX. Commands run in processes of their own, as a shell runs them."""

import ast
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.analysis.conftest import EVENTS, episodes

from misgen.agents.checkpoint import write_whole
from misgen.analysis.records import FILE_NAME, write_records
from misgen.experiments import cli
from misgen.experiments.jobs import attempt
from misgen.experiments.jobs.attempt import claim, run_once
from misgen.experiments.jobs.child import report_progress
from misgen.experiments.jobs.scheduler import Job, run_jobs
from misgen.experiments.runs import migrate
from misgen.experiments.runs.folder import remove_run, require_writable, run_folders
from misgen.experiments.runs.settings_table import settings_of
from misgen.experiments.runs.subjects import find_agents

ROOT = Path(__file__).parents[2]
PLAIN = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), PYTHONUNBUFFERED="")
ASCII = PLAIN | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_run(folder: Path, agent: int = 0, d: float = 0.0, **changes: object) -> Path:
    """A finished evaluation."""
    columns = episodes(["I", "P"] * 10, agent=agent, d=d, **changes)
    write_records(folder / FILE_NAME, columns, EVENTS)
    (folder / "done.json").write_text("{}")
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for number in range(4):
        run = tmp_path / "results" / "runs" / "kind=evaluate" / f"run={number}"
        write_run(run, agent=number % 2, d=float(number > 1))
    return tmp_path / "results"


def misgen(*words: object, env: dict[str, str] = PLAIN, **streams: object) -> tuple[int, str, str]:
    """Exit code, output and errors of a command."""
    code = "import sys; from misgen.experiments.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(os.fsencode, map(str, words))],
        env=env,
        stderr=subprocess.PIPE,
        **({"stdout": subprocess.PIPE} | streams),  # type: ignore[call-overload]
    )
    output, errors = done.stdout or b"", done.stderr
    return done.returncode, output.decode(errors="replace"), errors.decode(errors="replace")


# --- Links ---------------------------------------------------------------------------------------


def agents_of(results: Path, capsys: pytest.CaptureFixture[str]) -> int:
    """How many evaluations `misgen rates` counts."""
    assert cli.main(["rates", "--results", str(results), "--csv", "-"]) == 0, capsys.readouterr()
    names, *rows = (line.split(",") for line in capsys.readouterr().out.splitlines())
    lines = [dict(zip(names, row, strict=False)) for row in rows]
    return sum(int(line["agents"]) for line in lines if line["population"] == "all trained")


def test_runs_behind_links_are_read(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = agents_of(results, capsys)
    runs = results / "runs" / "kind=evaluate"
    (runs / "run=3").rename(tmp_path / "away")
    assert agents_of(results, capsys) < everything
    (runs / "run=3").symlink_to(tmp_path / "away")
    assert agents_of(results, capsys) == everything
    linked = tmp_path / "linked"
    linked.symlink_to(results)
    assert agents_of(linked, capsys) == everything
    other = tmp_path / "other"
    other.mkdir()
    (other / "runs").symlink_to(results / "runs")
    assert agents_of(other, capsys) == everything
    assert "0 of 4 record files rewritten" in migrate.migrate(other)


def test_a_circle_of_links_ends_and_no_run_is_read_twice(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = agents_of(results, capsys)
    (results / "runs" / "again").symlink_to(results)
    (results / "runs" / "0-before").symlink_to(results / "runs" / "kind=evaluate")
    assert agents_of(results, capsys) == everything


def test_a_link_that_leads_nowhere_is_named(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / ".#locked").symlink_to("somebody@somewhere")  # as editors leave it
    for kind in ("evaluate", "train"):
        link = results / "runs" / f"kind={kind}" / "run=9"
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(tmp_path / "gone")
        with pytest.raises(ValueError, match=f"{link} leads to {tmp_path / 'gone'}, which is not"):
            run_folders(results)
        assert cli.main(["rates", "--results", str(results)]) == 2
        assert f"{link} leads to {tmp_path / 'gone'}" in capsys.readouterr().err
        if kind == "evaluate":
            with pytest.raises(ValueError, match="leads to"):
                settings_of(results)
            link.unlink()
        else:
            with pytest.raises(ValueError, match="leads to"):
                find_agents(str(results))


def test_a_run_behind_a_link_is_taken_out_and_not_deleted(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (tmp_path / "link").symlink_to(run)
    remove_run(tmp_path / "link")
    assert not (tmp_path / "link").exists() and (run / FILE_NAME).is_file()


# --- Closed pipes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "unbuffered"),
    [
        *(("rates", text) for text in ("", "1")),
        ("rates --csv -", ""),
        *(("cells C2", text) for text in ("", "1")),
        ("train --help", ""),
        ("play C2 --draw", "1"),
    ],
)
def test_a_closed_pipe_ends_a_command_quietly(command: str, unbuffered: str, results: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    env = PLAIN | {"PYTHONUNBUFFERED": unbuffered}
    try:
        words = [*command.split(), "--results", results]
        assert misgen(*words, env=env, stdout=writer) == (cli.PIPE_CLOSED, "", "")
    finally:
        os.close(writer)


# --- Full disks ----------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_output_to_a_full_disk(results: Path) -> None:
    with open("/dev/full", "wb") as full:
        code, _, errors = misgen("rates", "--results", results, stdout=full)
    assert code == 2 and errors.count("\n") == 1
    assert "misgen: error: the output or a cache cannot be written: its disk is full" in errors


def full(*_: object, **__: object) -> None:
    raise FULL


def test_a_full_disk_is_named_with_the_file(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(os, "fsync", full)
    before = sorted(tmp_path.rglob("*"))
    file = tmp_path / "rates.csv"
    assert cli.main(["rates", "--results", str(results), "--csv", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"misgen: error: {file} cannot be written: its disk is full; make room")
    assert "--results FOLDER" in line
    assert sorted(tmp_path.rglob("*")) == before


def test_any_error_of_a_named_file_is_one_line(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(folder: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(folder))

    monkeypatch.setattr(os, "scandir", broken)
    assert cli.main(["rates", "--results", str(results)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"misgen: error: {results / 'runs'}: Input/output error; " + (
        "check its path, its folder and its disk"
    )


def test_a_checkpoint_is_whole_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left") as error:
        write_whole(tmp_path / "agent.safetensors", b"weights")
    assert error.value.filename == str(tmp_path / "agent.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_claim_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("misgen.experiments.jobs.attempt.json.dump", full)
    with pytest.raises(OSError, match="No space left") as error, claim(tmp_path):
        pass
    assert error.value.filename == str(tmp_path / "claim.json")
    assert [path.name for path in tmp_path.iterdir()] == [".claim.lock"]


def test_progress_that_cannot_be_written_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "replace", full)
    report_progress(tmp_path, 1, 1)
    assert not list(tmp_path.iterdir())


def test_an_attempt_that_found_no_room_leaves_none_of_its_products(tmp_path: Path) -> None:
    def body(folder: Path) -> None:
        (folder / "checkpoint.safetensors").write_bytes(b"half of the agents")
        raise FULL

    with pytest.raises(OSError, match="No space left"):
        run_once(tmp_path, {}, body)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {".claim.lock", "config.json", "provenance.json", "failed.json"}


def test_where_no_room_is_left_to_say_so_the_first_error_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "write_failed", full)
    with pytest.raises(RuntimeError, match="the first"):
        run_once(tmp_path, {}, lambda folder: exec("raise RuntimeError('the first')"))


FULL_JOBS = """
import errno, os, time
def fill(argument, folder):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "episodes.parquet"))
def slow(argument, folder):
    time.sleep(2)
"""


def test_a_full_disk_ends_a_sweep_once_its_running_jobs_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full_jobs.py").write_text(FULL_JOBS)
    monkeypatch.syspath_prepend(tmp_path)
    kinds = {"a": "fill", "b": "slow", "c": "slow", "d": "fill"}
    jobs = [Job(name, f"full_jobs:{kind}", {}, tmp_path / name) for name, kind in kinds.items()]
    with pytest.raises(OSError, match="No space left") as error:
        run_jobs(jobs, 2)
    assert error.value.filename == str(tmp_path / "a")
    assert (tmp_path / "b" / "done.json").exists()
    assert not (tmp_path / "c").exists() and not (tmp_path / "d").exists()
    errors = capfd.readouterr().err
    assert f"No space left on device: '{tmp_path / 'a' / 'episodes.parquet'}'" in errors


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """3 MB, where this user may mount it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a disk cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_training_on_a_full_disk(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(2_500_000))
    words = "train cell=K3 agent.settings.total_steps=8192 agent.settings.num_envs=64"
    code, _, errors = misgen(*words.split(), "--results", small_disk)
    (line,) = [line for line in errors.splitlines() if line.startswith("misgen: error")]
    assert code == 2 and "Traceback" not in errors
    assert "checkpoint.safetensors cannot be written: its disk is full" in line
    (run,) = small_disk.glob("runs/kind=train/run=*")
    assert {path.name for path in run.iterdir()} <= {
        ".claim.lock", "config.json", "failed.json", "progress.json", "provenance.json"
    }  # fmt: skip


# --- Places that cannot be written to ------------------------------------------------------------


def test_the_setting_that_moves_a_folder_is_named(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"another folder with --results or MISGEN_RESULTS$"):
        require_writable(tmp_path / "file")
    commands = {
        "--output": ["calibrate", "-o", str(tmp_path / "file"), "--results", str(results)],
        "misgen trust FOLDER": ["trust", str(tmp_path / "file")],
    }
    for setting, words in commands.items():
        assert cli.main(words) == 2
        assert f"name another folder with {setting}\n" in capsys.readouterr().err


# --- Names and locales ---------------------------------------------------------------------------


@pytest.mark.parametrize("env", [PLAIN, ASCII], ids=["utf-8", "ascii"])
def test_names_beyond_ascii_do_no_harm(env: dict[str, str], results: Path, tmp_path: Path) -> None:
    with open(os.fsencode(results / "runs") + b"/note\xff.txt", "wb"):
        pass
    moved = Path(os.fsdecode(os.fsencode(tmp_path) + "/Größe".encode()))
    os.rename(results, moved)
    (moved / "runs" / "kind=evaluate" / "run=0").rename(moved / "runs" / "kind=evaluate" / "run=é")
    code, output, errors = misgen("rates", "--results", moved, env=env)
    assert (code, errors) == (0, "") and "d=0" in output
    code, output, errors = misgen("rates", "--results", moved / "ß", env=env)
    assert code == 2 and errors.count("\n") == 1 and "does not; run an experiment" in errors
    words = ("-o", tmp_path / "out", "--draws", "100")
    code, _, errors = misgen("calibrate", "--results", moved, *words, env=env)
    assert code == 0, errors
    assert "Größe" in (tmp_path / "out" / "lab.html").read_text(encoding="utf-8")


def test_a_run_whose_name_is_not_utf8_is_named(results: Path) -> None:
    run = os.fsencode(results / "runs" / "kind=evaluate" / "run=0")
    os.rename(run, run + b"\xff")
    code, _, errors = misgen("rates", "--results", results)
    assert code == 2 and errors.count("\n") == 1
    assert r"run=0\udcff/episodes.parquet' has not; rename its folder" in errors


@pytest.mark.parametrize("command", ["cells C2", "play C2 --draw", "risk table", "doctor"])
def test_every_text_is_shown_in_an_ascii_locale(command: str, tmp_path: Path) -> None:
    code, output, errors = misgen(*command.split(), "--results", tmp_path / "new", env=ASCII)
    assert code == 0 and output.isascii() and "UnicodeEncodeError" not in errors


def test_a_study_beyond_ascii_is_shown_in_an_ascii_locale(tmp_path: Path) -> None:
    write_run(tmp_path / "run", study="Größe")
    code, _, errors = misgen("rates", "--results", tmp_path, "--study", "x", env=ASCII)
    assert code == 2 and r"they have Gr\xf6\xdfe" in errors


def test_texts_are_read_and_written_in_utf8() -> None:
    """Not in what the locale says: every opening of a text names the encoding."""
    found = []
    for floor in ("agents", "analysis", "configs", "envs", "experiments"):
        for path in sorted((ROOT / floor).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and opens_a_text(node):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not found


def opens_a_text(node: ast.Call) -> bool:
    """Whether a call opens a text without saying in which encoding."""
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    said = {keyword.arg: keyword.value for keyword in node.keywords}
    modes = [a.value for a in [*node.args, *said.values()] if isinstance(a, ast.Constant)]
    is_binary = any(isinstance(mode, str) and "b" in mode and len(mode) <= 3 for mode in modes)
    is_os = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "os"
    opens = name == "open" and not is_binary and not is_os
    is_process = "text" in said and ast.unparse(said["text"]) == "True"
    is_text = name in ("read_text", "write_text") or opens or is_process
    return is_text and "encoding" not in said


# --- Without POSIX -------------------------------------------------------------------------------

WINDOWS = """
import os, pkgutil, signal, sys
import concurrent.futures.process, multiprocessing.popen_spawn_posix, subprocess
for name in ("fcntl", "pty", "pwd", "resource", "termios", "tty"):
    sys.modules[name] = None
import misgen.experiments
for name in ("SIGKILL", "SIGHUP", "SIGPIPE"):
    delattr(signal, name)
for name in ("killpg", "getpgid", "setsid", "fork", "sched_getaffinity"):
    delattr(os, name)
for module in pkgutil.walk_packages(misgen.experiments.__path__, "misgen.experiments."):
    if module.name != "misgen.experiments.bench.peers":  # runs in another environment
        __import__(module.name)
from misgen.experiments.jobs.scheduler import run_jobs
from misgen.experiments.shown.keyboard import screen
for use in (lambda: run_jobs([]), lambda: screen(0, sys.stdout).__enter__()):
    try:
        use()
    except ValueError as error:
        print(error)
"""


def test_posix_is_asked_for_only_when_it_is_used() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WINDOWS], env=PLAIN, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    jobs, keys = done.stdout.splitlines()
    assert "POSIX signals" in jobs and "use Linux, macOS or WSL" in jobs
    assert "POSIX terminal" in keys and "misgen play --policy planner" in keys
