import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from misgen.experiments.jobs import attempt
from misgen.experiments.jobs.attempt import CLAIM_STALE_S, ClaimedError, claim, claimed_by, run_once
from misgen.experiments.runs import folder as run_folder
from misgen.experiments.runs.folder import (
    RunFolder,
    is_done,
    read_json,
    require_writable,
    results_root,
    run_id,
    write_json,
)

CONFIG = {"family": "keys", "agent": {"learning_rate": 1e-3}, "train_seed": 1}


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


# --- Identity ------------------------------------------------------------------------------------


def test_id_does_not_depend_on_key_order():
    assert run_id({"a": 1, "b": 2}) == run_id({"b": 2, "a": 1})
    assert len(run_id(CONFIG)) == 16


@pytest.mark.parametrize(
    "other",
    [
        {**CONFIG, "train_seed": 2},
        {**CONFIG, "agent": {"learning_rate": 1e-4}},
        {**CONFIG, "num_steps": 10},
    ],
)
def test_what_is_computed_changes_the_id(other):
    assert run_id(other) != run_id(CONFIG)


def test_code_version_changes_the_id(monkeypatch):
    before = run_id(CONFIG)
    monkeypatch.setattr(run_folder, "CODE_VERSION", run_folder.CODE_VERSION + 1)
    assert run_id(CONFIG) != before


def test_the_deny_list_is_this():
    assert sorted(run_folder.NON_IDENTITY) == [
        "device",
        "hydra",
        "launcher",
        "location",
        "log_level",
        "num_threads",
        "num_workers",
        "progress",
        "results_root",
        "study",
        "tensorboard",
    ]


@pytest.mark.parametrize("key", sorted(run_folder.NON_IDENTITY))
def test_how_it_is_executed_does_not_change_the_id(key):
    assert run_id({**CONFIG, key: "x"}) == run_id({**CONFIG, key: {"y": 1}}) == run_id(CONFIG)


def test_the_same_word_deeper_down_is_data():
    reward = {**CONFIG, "reward": {"progress": 1.0}}
    assert run_id(reward) != run_id({**CONFIG, "reward": {"progress": 2.0}})


@pytest.mark.parametrize("value", [float("nan"), {1: "a"}, {"a": object()}, [Path("a")]])
def test_a_config_that_is_not_json_is_refused(value):
    with pytest.raises(ValueError, match="must hold only finite numbers"):
        run_id({"a": value})


# --- One run -------------------------------------------------------------------------------------


def test_a_finished_run_has_its_files_and_is_not_repeated(tmp_path):
    folder = RunFolder(tmp_path, "train", CONFIG)
    assert folder.path == tmp_path / "runs" / "kind=train" / f"run={folder.id}"
    assert not folder.is_done
    assert run_once(folder.path, CONFIG, lambda path: (path / "weights").write_bytes(b"abc"))
    assert folder.is_done
    done = json.loads((folder.path / "done.json").read_text())
    assert set(done) == {"cpu_seconds", "id", "schema", "seconds", "sha256", "versions"}
    assert done["id"] == folder.id
    assert set(done["sha256"]) == {"config.json", "provenance.json", "weights"}
    assert done["sha256"]["weights"].startswith("ba7816bf")  # SHA-256 of "abc"
    assert read_json(folder.path / "config.json") == CONFIG
    assert not (folder.path / "claim.json").exists()
    assert not run_once(folder.path, CONFIG, lambda path: pytest.fail("ran twice"))


def test_provenance_says_what_made_the_run_and_not_who(tmp_path):
    run_once(tmp_path / "a", CONFIG, lambda path: None)
    text = (tmp_path / "a" / "provenance.json").read_text()
    provenance = json.loads(text)
    assert set(provenance["machine"]) == {"cpu", "cores", "gpu"}
    assert provenance["versions"]["numpy"]
    assert {"git_commit", "git_dirty", "date_utc", "code_version"} <= set(provenance)
    assert os.uname().nodename not in text and str(tmp_path) not in text


def test_a_failed_run_says_why_and_is_tried_again(tmp_path):
    def body(path):
        (path / ".tmp-1-half").write_bytes(b"")
        raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        run_once(tmp_path, CONFIG, body)
    failed = read_json(tmp_path / "failed.json")
    assert failed is not None and failed["error"] == "RuntimeError: no luck"
    assert "in body" in failed["traceback"]
    assert run_once(tmp_path, CONFIG, lambda path: None)
    assert not (tmp_path / "failed.json").exists()
    assert not list(tmp_path.glob(".tmp-*"))


def test_an_interrupted_run_leaves_no_marker(tmp_path):
    def body(path):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_once(tmp_path, CONFIG, body)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {".claim.lock", "config.json", "provenance.json"}


# --- Claim ---------------------------------------------------------------------------------------


def test_only_one_live_process_holds_a_claim(tmp_path):
    with claim(tmp_path):
        assert claimed_by(tmp_path) == f"pid {os.getpid()} on {os.uname().nodename}"
        with pytest.raises(ClaimedError, match=f"pid {os.getpid()}"), claim(tmp_path):
            pass
        assert claimed_by(tmp_path)
    assert claimed_by(tmp_path) is None


HOLD = """
import sys, time
from pathlib import Path
from misgen.experiments.jobs.attempt import claim
with claim(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

RUN_AND_LOG = """
import os, sys, time
from pathlib import Path
from misgen.experiments.jobs import attempt
look = attempt.claimed_by
def look_slowly(folder):  # so that rivals overlap between looking and claiming
    seen = look(folder)
    time.sleep(0.3)
    return seen
attempt.claimed_by = look_slowly
def body(folder):
    with open(folder / "journal", "a") as file:
        file.write(f"{os.getpid()}\\n")
while True:
    try:
        attempt.run_once(Path(sys.argv[1]), {}, body)
        break
    except attempt.ClaimedError:
        pass
"""


def test_the_claim_of_a_killed_process_is_taken_over_by_exactly_one(tmp_path):
    with python(HOLD, tmp_path) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        assert claimed_by(tmp_path) is not None
        holder.kill()
    assert (tmp_path / "claim.json").exists()
    assert claimed_by(tmp_path) is None
    rivals = [python(RUN_AND_LOG, tmp_path) for _ in range(3)]
    for rival in rivals:
        rival.communicate()
        assert rival.returncode == 0
    assert len((tmp_path / "journal").read_text().splitlines()) == 1


def test_a_reused_pid_does_not_hold_the_claim(tmp_path):
    with claim(tmp_path):
        holder = read_json(tmp_path / "claim.json")
    assert holder is not None
    (tmp_path / "claim.json").write_text(json.dumps({**holder, "started_ticks": 1}))
    assert claimed_by(tmp_path) is None


@pytest.mark.parametrize("text", ['{"machine": "elsewhere", "host": "node7", "pid": 12}', ""])
def test_a_claim_that_cannot_be_checked_lives_by_its_heartbeat(tmp_path, text):
    path = tmp_path / "claim.json"
    path.write_text(text)
    assert claimed_by(tmp_path) is not None
    old = time.time() - CLAIM_STALE_S - 1
    os.utime(path, (old, old))
    assert claimed_by(tmp_path) is None


def test_the_heartbeat_renews_the_claim(tmp_path, monkeypatch):
    monkeypatch.setattr(attempt, "HEARTBEAT_S", 0.01)
    with claim(tmp_path):
        path = tmp_path / "claim.json"
        os.utime(path, (1, 1))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime == 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 1


# --- Files ---------------------------------------------------------------------------------------

WRITE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from misgen.experiments.runs.folder import write_json
path, moment = Path(sys.argv[1]), sys.argv[2]
write_json(path, "old")
setattr(os, moment, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
write_json(path, "new" * 100_000)
"""


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_killed_writer_leaves_no_torn_file(tmp_path, moment):
    path = tmp_path / "value.json"
    with python(WRITE_AND_DIE, path, moment) as writer:
        assert writer.wait() == -signal.SIGKILL
    assert json.loads(path.read_text()) == "old"
    others = [other.name for other in tmp_path.iterdir() if other != path]
    assert all(name.startswith(".tmp-") for name in others)


def test_files_are_readable_by_colleagues(tmp_path):
    mask = os.umask(0o022)
    try:
        run_once(tmp_path, CONFIG, lambda path: None)
    finally:
        os.umask(mask)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}


def test_results_root(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MISGEN_RESULTS", raising=False)
    assert results_root() == tmp_path / "results"
    monkeypatch.setenv("MISGEN_RESULTS", "elsewhere")
    assert results_root() == tmp_path / "elsewhere"


def test_a_results_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="must be a folder") as refusal:
            require_writable(path)
        assert f"{str(path)!r} is not" in str(refusal.value)
        assert "name another folder with --results or MISGEN_RESULTS" in str(refusal.value)
    with pytest.raises(ValueError, match="must be a folder"):
        run_once(tmp_path / "file" / "run", CONFIG, lambda path: None)


@pytest.mark.parametrize("name", [".", "nowhere/x.json", "file/x.json", "x" * 250])
def test_json_that_can_be_no_file_is_refused_by_the_name_it_was_given(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="make its folder, or name another file") as refusal:
        write_json(tmp_path / name, {})
    assert f"{tmp_path / name} cannot be written" in str(refusal.value)
    assert ".tmp-" not in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_read_only_results_folder_is_refused(tmp_path, monkeypatch):
    # Removing permission bits would not stop the root user, so the error is simulated.
    def refuse(self, data):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(ValueError, match="Read-only file system"):
        require_writable(tmp_path)
    assert not is_done(tmp_path)


def test_a_folder_that_another_process_clears_up_can_be_written_to(tmp_path, monkeypatch):
    """Two equal sweeps begin one run: the probe of the second is a leftover to the first."""
    write_bytes = Path.write_bytes

    def write_and_lose(path: Path, data: bytes) -> None:
        write_bytes(path, data)
        path.unlink()

    monkeypatch.setattr(Path, "write_bytes", write_and_lose)
    assert require_writable(tmp_path) == tmp_path
