"""`list --where` and `list --columns`: any column is shown and asked, in every form."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
from contextlib import closing
from pathlib import Path

import pytest

from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.model_columns import MODEL_COLUMNS
from lora_tui.sandbox import Sandbox
from lora_tui.text import cell_width
from tests.conftest import Run
from tests.pseudo_terminal import open_terminal


@pytest.fixture
def synced(signed_in: Sandbox, run: Run) -> Sandbox:
    assert run("sync").code == 0
    return signed_in


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_condition_limits_the_list_in_every_form(synced: object, run: Run) -> None:
    everything = rows_of(run("list", "--csv").out)
    losses = sorted(float(row["final_loss"]) for row in everything)
    where = f"final_loss <= {losses[2]} and name ~ '-'"
    expected = {row["id"] for row in everything if float(row["final_loss"]) <= losses[2]}
    assert len(expected) == 3
    assert {row["id"] for row in rows_of(run("list", "--where", where, "--csv").out)} == expected
    listed = run("list", "--where", where, "--json").data
    assert {model["id"] for model in listed["models"]} == expected
    assert listed["pagination"]["total"] == 3
    assert "columns" not in listed["models"][0]
    assert "1–3 of 3 models" in run("list", "--where", where).err
    assert "No matching models" in run("list", "--where", "stars is unknown and stars > 1").err
    headings = run("list", "--where", "not name ~ '#' and rank > 0").out.splitlines()[0].split()
    assert [headings[-1], headings.count("NAME")] == ["RANK", 1]  # what the condition is about
    assert "RANK" not in run("list", "--where", "rank > 0", "--columns", "name").out


def test_a_wrong_condition_is_shown_with_a_pointer_and_needs_no_cache(run: Run) -> None:
    ran = run("list", "--where", "stars > 4 and rnk >= 16")
    assert (ran.code, ran.out) == (2, "")
    message, condition, carets = ran.err.splitlines()
    assert message.startswith("lora-tui: There is no column 'rnk'. Did you mean rank or")
    place = carets.index("^")
    assert condition[place : place + carets.count("^")] == "rnk"
    answer = json.loads(run("list", "--json", "--where", "stars > ").out)
    assert answer["error"] == "The condition ends too early"
    assert run("list", "--where", "").code == 2


def test_columns_are_named_added_and_explained(synced: object, run: Run) -> None:
    names = [column.name for column in MODEL_COLUMNS]
    helped = run("list", "--columns", "help").out
    assert [line.split()[0] for line in helped.splitlines()[1:]] == names
    assert [
        each["name"] for each in run("list", "--columns", "help", "--json").data["columns"]
    ] == names
    table = run("list", "--columns", "name,rank, Cost").out.splitlines()
    assert table[0].split() == ["NAME", "RANK", "COST"]
    usual = run("list", "--csv").out
    more = run("list", "--csv", "--columns", "+favorite,tags,name").out
    assert more.splitlines()[0] == usual.splitlines()[0] + ",favorite,tags"
    assert [line.removesuffix(",no,") for line in more.splitlines()[1:]] == usual.splitlines()[1:]
    ran = run("list", "--columns", "name,leaning_rate")
    assert ran.code == 2
    assert "There is no column 'leaning_rate'. Did you mean learning_rate" in ran.err
    assert run("list", "--columns", " , ").code == 2


def test_every_column_has_a_value_in_csv_json_and_the_table(synced: object, run: Run) -> None:
    names = [column.name for column in MODEL_COLUMNS]
    everything = ",".join(names)
    rows = rows_of(run("list", "--csv", "--columns", everything).out)
    assert len(rows) == 6
    assert list(rows[0]) == names
    assert rows[0]["favorite"] == "no"
    assert rows[0]["note"] == ""
    models = run("list", "--json", "--columns", everything).data["models"]
    for row, model in zip(rows, models, strict=True):
        values = model["columns"]
        assert list(values) == names
        assert values["id"] == model["id"] == row["id"]
        assert (values["favorite"], values["tags"], values["note"]) == (False, [], None)
        assert row["created_at"] == values["created_at"]
        assert values["stars"] == int(row["stars"])
    lines = run("list", "--jsonl", "--columns", "rank,size").out.splitlines()
    assert [list(json.loads(line)["columns"]) for line in lines] == [["rank", "size"]] * 6
    assert len(run("list", "--columns", everything).out.splitlines()) == 7


def test_help_of_columns_needs_no_configuration(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_TUI_HOME", str(tmp_path))
    assert run("list", "--columns", "help").code == 0


def test_any_column_is_an_order_which_the_table_shows(synced: object, run: Run) -> None:
    def column(name: str, *words: str) -> list[object]:
        models = run("list", "--json", "--columns", name, "--sort", name, *words).data["models"]
        return [model["columns"][name] for model in models]

    rates = column("learning_rate")
    assert rates == sorted(rates, reverse=True)  # type: ignore[type-var]
    assert column("learning_rate", "--reverse") == rates[::-1]
    assert column("dataset") == sorted(column("dataset"), key=lambda name: str(name).casefold())
    by_rank = run("list", "--sort", "rank")
    assert by_rank.out.splitlines()[0].split()[-1] == "RANK"
    assert run("list", "--sort", "created_at").out == run("list").out
    assert run("list", "--sort", "rank", "--csv").out.splitlines()[0].endswith(",created_at")
    ran = run("list", "--sort", "lerning-rate")
    assert ran.code == 2
    assert "Did you mean learning_rate" in ran.err


def test_the_table_fits_a_terminal_and_keeps_what_was_asked_for(synced: object, run: Run) -> None:
    command = [sys.executable, "-m", "lora_tui", "list", "--sort", "rank", "--limit", "3"]
    terminal = open_terminal(command, dict(os.environ), size=(80, 24))
    assert terminal.end() == 0
    heading, *rows, _synced = bytes(terminal.written).decode().splitlines()
    assert heading.split()[-1] == "RANK"
    assert "CONVERGENCE" not in heading
    names = [model["name"] for model in run("list", "--sort", "rank", "--json").data["models"]]
    for row, name in zip(rows, names, strict=False):
        assert cell_width(row) <= 80
        assert name[-10:] in row
    piped = run("list", "--sort", "rank").out.splitlines()
    assert {"ID", "CONVERGENCE", "DATASET", "COST", "RANK"} <= {*piped[0].split()}
    wide = run("list", "--columns", "name,base_model,rank", "--wide")
    assert wide.out == run("list", "--columns", "name,base_model,rank").out
    many = [*command[:4], "--columns", "id,name,dataset,base_model,preset,gpu,convergence,rank"]
    terminal = open_terminal(many, dict(os.environ), size=(80, 24))
    assert terminal.end() == 0
    assert "RANK; --wide shows all." in bytes(terminal.written).decode()


def test_what_changes_outside_of_a_sync_is_looked_for(synced: object, run: Run) -> None:
    first = run("list", "--json", "--where", "size is known").data["models"][0]["id"]
    directory = Path(run("download", first).out.strip())
    query = "select count(*) from models where downloaded"
    assert run("sql", "--csv", query).out.split() == ["count(*)", "1"]
    shutil.rmtree(directory)
    assert run("sql", "--csv", query).out.split() == ["count(*)", "0"]
    assert "No matching models" in run("leaderboard", "--where", "downloaded").err

    (cache,) = Path(os.environ["LORA_TUI_HOME"]).glob("cache/*.sqlite3")
    with closing(open_cache(cache)) as db, transaction(db):
        db.execute("UPDATE model_values SET judged = 0 WHERE judged = 1")
    for words in (
        ["list", "--sort", "suggested_stars", "--csv"],
        ["leaderboard", "--where", "suggested_stars > 3"],
        ["sql", "SELECT * FROM models"],
    ):
        assert "suggested ratings are not computed yet" in run(*words).err
    assert "not computed" not in run("list", "--where", "stars > 3").err
