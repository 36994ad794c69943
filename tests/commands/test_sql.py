"""`sql`: a query as a table, CSV and JSON; from an argument or from stdin."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from pathlib import Path

import pytest

from lora_tui.text import cell_width
from tests.conftest import Run
from tests.pseudo_terminal import open_terminal


def test_each_form_holds_the_same_rows(signed_in: Path, run: Run) -> None:
    query = "select name, stars, cost, created_at, null as missing from models order by name"
    data = run("sql", query, "--json").data
    assert data["columns"] == ["name", "stars", "cost", "created_at", "missing"]
    lines = run("sql", query, "--jsonl").out.splitlines()
    assert [json.loads(line) for line in lines] == data["rows"]
    rows = list(csv.DictReader(io.StringIO(run("sql", query, "--csv").out)))
    assert [row["name"] for row in rows] == [row["name"] for row in data["rows"]]
    assert {row["missing"] for row in rows} == {""}
    ran = run("sql", query)
    assert len(ran.out.splitlines()) == len(rows) + 1
    assert f"{len(rows)} rows" in ran.err
    assert "Synced" in ran.err


def test_hostile_values_and_names_are_neutralised(signed_in: Path, run: Run) -> None:
    query = "select char(27) || '[31mred' as \"a\x1b[2J\", '=1+2' as f, x'00ff' as b, 1 as f"
    ran = run("sql", query)
    assert "\x1b" not in ran.out
    assert "00ff" in ran.out
    ran = run("sql", query, "--csv")
    assert "\x1b" not in ran.out
    assert "'=1+2" in ran.out
    ran = run("sql", query, "--json")
    assert "\x1b" not in ran.out
    assert ran.data["columns"][1:] == ["f", "b", "f_2"]
    assert ran.data["rows"][0]["b"] == "00ff"


def test_a_query_comes_from_stdin(
    signed_in: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (["sql"], ["sql", "-"]):
        monkeypatch.setattr(sys, "stdin", io.StringIO("select count(*) as n\nfrom models"))
        assert run(*words, "--json").data["rows"] == [{"n": 6}]
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert (run("sql").code, run("sql").out) == (2, "")


def test_the_schema_names_every_column(signed_in: Path, run: Run) -> None:
    for view in run("sql", "--schema", "--json").data["views"]:
        names = [column["name"] for column in view["columns"]]
        assert (
            run("sql", f"select * from {view['name']} limit 1", "--json").data["columns"] == names
        )
        text = run("sql", "--schema").out
        assert all(f"  {name} " in text for name in names)
        assert all(column["meaning"] in text for column in view["columns"])


def test_too_many_rows_for_a_table_have_a_remedy(signed_in: Path, run: Run) -> None:
    query = "with recursive n(x) as (select 1 union all select x + 1 from n) select x from n"
    ran = run("sql", query)
    assert (ran.code, ran.out) == (2, "")
    assert "more than 500,000 rows" in ran.err
    assert "--jsonl" in ran.err
    assert run("sql", f"{query} limit 3", "--timeout", "1").out.split() == ["x", "1", "2", "3"]
    assert run("sql", "select count(*) from (" + query + ")", "--timeout", "1").code == 2


@pytest.mark.parametrize(("width", "wide"), [(40, False), (120, False), (80, True)])
def test_a_table_fits_the_terminal_and_says_what_it_leaves_out(
    signed_in: Path, width: int, wide: bool
) -> None:
    command = [sys.executable, "-m", "lora_tui", "sql", "select * from models"]
    environment = {**os.environ, "LORA_TUI_PAGER": "cat"}
    terminal = open_terminal(
        [*command, *(["--wide"] if wide else [])], environment, size=(width, 24)
    )
    assert terminal.end() == 0
    lines = terminal.written.decode().splitlines()[:7]
    said = terminal.written.decode().splitlines()[7:]
    if wide:
        assert max(map(cell_width, lines)) > 80
        assert "aliases" in lines[0]
        assert said[0] == "6 rows"
    else:
        assert max(map(cell_width, lines)) <= width
        assert "do not fit: " in said[0]
        assert "--wide shows all" in said[0]


def test_the_schema_is_no_csv_and_says_so(signed_in: Path, run: Run) -> None:
    for form in ("--csv", "--jsonl"):
        ran = run("sql", "--schema", form)
        assert (ran.code, ran.out) == (2, "")
        assert "--schema is printed as text or with --json" in ran.err
