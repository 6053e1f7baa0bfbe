"""`misgen sql`: three views of a results folder, and nothing but questions."""

from pathlib import Path

import duckdb
import pytest
from tests.analysis.conftest import EVENTS, episodes

from misgen.analysis.blocks import read_blocks
from misgen.analysis.compacted import compact
from misgen.analysis.records import read_records, write_records
from misgen.analysis.text import filled
from misgen.experiments import cli
from misgen.experiments.runs.folder import write_json
from misgen.experiments.views import SETTINGS, VIEWS, connect, named_columns


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two agents an arm at d = 0, which follow the proxy, and at d = 1, each also in C3 and one at
    an earlier checkpoint; a failed training and one that nobody began."""
    root = tmp_path_factory.mktemp("results")
    runs = root / "runs"
    for d in (0.0, 1.0):
        for agent in range(2):
            name = f"d{d:g}-a{agent}"
            subject = {"cell": "C2", "d": d, "q": 1.0, "method": "ppo", "agent_number": agent}
            training = runs / f"kind=train/run=T{name}"
            write_run(training, {
                "cell": "C2", "train_seed": agent, "study": "test", "agent": {"method": "ppo"},
                "intervention": {"diversity": d, "specification": 1.0, "num_levels": 50},
            }, seconds=9.5, cpu_seconds=8.0)  # fmt: skip
            argument = {"subject": {**subject, "identity": name}, "setting": "a1b2c3d4"}
            argument |= {"location": str(training / "checkpoint"), "study": "test"}
            for cell in ("C2", "C3"):
                run = f"{name}-{cell}"
                labels = {"run_id": run, "agent": agent, "d": d, "cell": cell}
                word = "P" if d == 0 else "I"
                parts = [
                    episodes([word] * 8 + ["H", "N", "I-"], variant="11", **labels),
                    episodes(["I"] * 9 + ["N"] * 2, variant="own", **labels),
                    episodes(["N"] * 11, variant="11", checkpoint_step=500, **labels),
                ]
                folder = runs / f"kind=evaluate/run={run}"
                write_records(folder / "episodes.parquet", parts, EVENTS)
                write_run(folder, {**argument, "cell": cell}, seconds=2.0, cpu_seconds=1.0)
    failed = runs / "kind=train/run=failed"
    for folder in (failed, root / "sweeps"):
        folder.mkdir()
    write_json(failed / "config.json", {"cell": "C2", "study": "test"})
    write_json(failed / "failed.json", {"error": "ValueError: no"})
    write_json(root / "sweeps" / "s.json", {"study": "test", "runs": {"unborn": "C2 d=0.5"}})
    return root


def write_run(folder: Path, config: dict[str, object], **done: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config)
    write_json(folder / "done.json", done)


def sql(results: Path, *words: str) -> int:
    return cli.main(["sql", "--results", str(results), *words])


def answer(results: Path, query: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of CSV below the header."""
    assert sql(results, "--csv", "-", query) == 0
    return capsys.readouterr().out.splitlines()[1:]


def test_runs_of_every_state(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    states = "select kind, state, count(*), sum(cpu_seconds) from runs group by all order by all"
    assert answer(results, states, capsys) == [
        "evaluate,done,8,8.0", "train,done,4,32.0", "train,failed,1,", "train,missing,1,",
    ]  # fmt: skip
    about = "select state, arm, reason from runs where state in ('failed', 'missing') order by 1"
    assert answer(results, about, capsys) == [
        "failed,C2,ValueError: no", "missing,C2 d=0.5,",
    ]  # fmt: skip
    trained = "select train_id, d, num_levels, agent_number from runs where run_id like '%d1-a1%'"
    assert answer(results, trained, capsys) == ["Td1-a1,1.0,50,1"] * 3


def test_an_agent_is_a_row_with_the_counts_of_the_tables(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At home, at its last checkpoint."""
    counts = "episodes_11, scored_11, capable_11, goal_failed_11, harmed_11"
    query = f"select run_id, study, d, num_levels, {counts}, success_own from agents order by 1"
    rows = answer(results, query, capsys)
    assert rows == [
        f"d{d}-a{a}-C2,test,{d}.0,50,11,10,9,{9 if d == 0 else 1},1,{9 / 11}"
        for d in (0, 1) for a in (0, 1)
    ]  # fmt: skip
    blocks = read_blocks(read_records(results), "d")
    expected = [
        (b.run_id, b.episodes, b.scored, b.capable, b.goal_failed, b.harmed)
        for b in blocks if b.variant == "11" and not b.arm.is_cross
    ]  # fmt: skip
    found = connect(results).execute(f"select run_id, {counts} from agents").fetchall()
    assert sorted(found) == sorted(expected)


def test_every_column_has_its_words(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sql(results) == 0
    text = capsys.readouterr().out
    for view, described in VIEWS.items():
        columns = connect(results).table(view).columns
        named = named_columns(view)
        assert filled(f"{view}: {described.row}", hanging=2) in text
        assert len({*named}) == len(named) and {*named} <= {*columns}
        assert SETTINGS in described.columns or len(named) == len(columns)


def test_the_table_fits_a_terminal(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    query = "select 'x' || repeat('y', 90) as long, d, 2 / 3 as share, null as none from agents"
    assert sql(results, f"{query} order by d limit 1") == 0
    head, rule, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["long", "d", "share", "none"]
    assert row.split() == ["x" + "y" * 41 + "…", "0", "0.6667", "-"]
    assert len(rule) == 60
    assert sql(results, "select range from range(300)") == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "99",
        "the first 100 rows; --csv FILE keeps all",
    ]


def test_csv_goes_to_a_file(results: Path, tmp_path: Path) -> None:
    file = tmp_path / "answer.csv"
    query = "select actions, goal_failure, event_counts, 'nan'::double as n from episodes"
    assert sql(results, "--csv", str(file), f"{query} where variant = 'own' limit 1") == 0
    assert file.read_text() == 'actions,goal_failure,event_counts,n\n0102,,"[1, 1]",\n'


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select num_level from agents", 'FROM clause!; Candidate bindings: "num_levels"'),
        ("select * from agent", "Table with name agent does not exist! did you mean 'agents'?"),
        ("selec 1", 'syntax error at or near "selec"'),
        ("select run_id::int from runs", "Could not convert string"),
        ("select 1; select 2", "a question is one SELECT"),
        ("-- nothing", "a question is one SELECT"),
        ("create table runs2 as from runs", "a question is one SELECT"),
        ("copy runs to '{}/x.csv'", "nothing is written here: --csv FILE keeps an answer"),
        ("copy (pivot runs on kind using count(*)) to '{}/x.csv'", "nothing is written here"),
        ("explain analyze copy runs to '{}/x.csv'", "nothing is written here"),
        ("set threads = 1", "a question is one SELECT"),
        ("attach '{}/x.db'", "a question is one SELECT"),
        ("from read_text('{}/sweeps/s.json')", "disabled by configuration"),
        ("from glob('/*')", "disabled by configuration"),
        ("from results", "Table with name results does not exist"),  # a variable of ours
    ],
)  # fmt: skip
def test_what_is_no_question_gets_one_message(
    results: Path, query: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(results.rglob("*"))
    assert sql(results, query.format(results)) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1 and message in err
    assert sorted(results.rglob("*")) == before


def test_the_database_writes_nothing_by_itself(results: Path) -> None:
    """Nor can it be opened."""
    database = connect(results)
    with pytest.raises(duckdb.Error, match="disabled by configuration"):
        database.execute(f"copy (select 1) to '{results / 'new.parquet'}'")
    with pytest.raises(duckdb.Error, match="locked"):
        database.execute("set enable_external_access = true")


def test_read_only_results_are_read(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.mkdir", refuse)
    monkeypatch.setattr("os.replace", refuse)
    assert answer(results, "select count(*) from episodes", capsys) == ["264"]


def test_a_folder_of_records_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As published: there are agents without settings, and no runs."""
    run = tmp_path / "C2"
    write_records(run / "episodes.parquet", episodes(["I", "P"]), EVENTS)
    (run / "done.json").write_text("{}")
    assert answer(tmp_path, "select run_id, success_11, weights_sha256 from agents", capsys) == [
        "d0-a0,0.5,"
    ]
    assert answer(tmp_path, "select count(*) from runs where seconds > 1", capsys) == ["0"]
    assert sql(tmp_path / "nowhere", "from runs") == 2
    assert "nowhere does not; run an experiment first" in capsys.readouterr().err


def test_compacted_results_answer_alike(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = "select hash(e) from episodes e order by 1"
    before = answer(results, query, capsys)
    file, _ = compact(results)
    try:
        assert answer(results, query, capsys) == before
    finally:
        file.unlink()


def test_a_question_without_its_quotes_is_shown_with_them(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sql(results, "select", "kind", "from", "runs") == 2
    assert capsys.readouterr().err.endswith('write misgen sql "select kind from runs"\n')
