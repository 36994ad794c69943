"""Rows with invalid values: their valid values are shown, and other rows are not affected."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given

from tests.conftest import Run
from tests.fuzz.conftest import examples
from tests.fuzz.values import ROWS, WRONG, odd_tables
from tests.sync.faulty_server import USER, FaultyProject, served
from tests.tui.library import identifier, model_row

GOOD: Final = identifier("model_artifacts", 99)


@pytest.fixture(scope="module")
def project() -> FaultyProject:
    return FaultyProject()


@pytest.fixture(scope="module")
def url(project: FaultyProject) -> Iterator[str]:
    with served(project) as url:
        yield url


@pytest.fixture
def tables(
    project: FaultyProject, url: str, monkeypatch: pytest.MonkeyPatch, home: Path
) -> dict[str, list[Any]]:
    """Those of the project that the environment names; each with a good row."""
    sign_in(monkeypatch, url, home)
    project.tables = {table: [row | {"id": identifier(table, 99)}] for table, row in ROWS.items()}
    project.sent = lambda _table, rows: rows
    return project.tables


def sign_in(patch: pytest.MonkeyPatch, url: str, home: Path) -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"sub": USER, "exp": 4_000_000_000}).encode())
    patch.setenv("LORA_TUI_HOME", str(home))
    patch.setenv("SUPABASE_URL", url)
    patch.setenv("SUPABASE_ANON_KEY", "anon")
    patch.setenv("LORA_TUI_ACCESS_TOKEN", f"e30.{claims.decode().rstrip('=')}.x")


def listed(run: Run) -> dict[str, Any]:
    return {model["id"]: model for model in run("list", "--json").data["models"]}


@pytest.mark.parametrize("column", ["training_summary", "quality_metrics", "configuration"])
def test_a_json_column_of_a_wrong_type_does_not_stop_a_sync(
    tables: dict[str, list[Any]], run: Run, column: str
) -> None:
    values = (5, "5", [1], True, 1.5, [[]], "loss_curve", ["loss_curve"])
    rows = [model_row(number, **{column: value}) for number, value in enumerate(values)]
    tables["model_artifacts"] += rows
    assert run("sync").code == 0
    for row in rows:
        assert listed(run)[row["id"]]["name"] == row["name"]
        assert row["name"] in run("show", row["id"]).out
    assert run("sync", "--full").code == 0


def test_a_size_too_large_for_sqlite_is_unknown(tables: dict[str, list[Any]], run: Run) -> None:
    sizes: tuple[object, ...] = (2**63, 2**63 - 1, -(2**70), 10**400, "9" * 30, 1e30)
    for number, size in enumerate(sizes):
        files = {name: {"size": size} for name in ("a.bin", "b.bin")}
        paths = {name: f"u/1/{name}" for name in files}
        row = model_row(number, configuration={"files": files}, artifacts=paths)
        tables["model_artifacts"].append(row)
    assert run("sync").code == 0
    assert set(listed(run)) == {row["id"] for row in tables["model_artifacts"]}
    for row in tables["model_artifacts"]:
        assert run("show", row["id"]).code == 0
    assert run("list", "--sort", "size").code == 0


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, len(WRONG), 16))
def test_any_value_in_any_column_keeps_its_row_and_the_others(
    tables: dict[str, list[Any]], run: Run, start: int
) -> None:
    for place, value in enumerate(WRONG[start : start + 16]):
        for table, template in ROWS.items():
            for number, column in enumerate(sorted(set(template) - {"id", "deleted_at"})):
                row_id = identifier(table, 1000 * place + number)
                tables[table].append(template | {"id": row_id, column: value})
    assert run("sync").code == 0
    expected = {row["id"] for row in tables["model_artifacts"] if row["user_id"] == USER}
    models = run("list", "--limit", "500", "--json").data["models"]
    assert {model["id"] for model in models} == expected
    assert run("show", GOOD).code == 0


@pytest.mark.parametrize(
    "bad",
    [
        *(b"null", b"5", b'"text"', b"[]", b"{}", b'{"id": null}', b'{"id": 7}', b'{"id": {}}'),
        b'{"id": "%s", "training_summary": %s1%s}' % (b"7" * 36, b'{"a":' * 5_000, b"}" * 5_000),
        b'{"id": "%s", "quality_metrics": {"perplexity": %s}}' % (b"7" * 36, b"9" * 6_000),
        b'{"id": "%s", "name": "\xed\xa0\x80 \xff \\ud800"}' % (b"7" * 36),
        b'{"id": "\\ud800", "updated_at": "\\ud800", "created_at": "\\u0000"}',
    ],
    ids=lambda value: str(value[:14]),
)
def test_odd_json_does_not_affect_other_rows(
    tables: dict[str, list[Any]], project: FaultyProject, run: Run, bad: bytes
) -> None:
    def sent(_table: str, rows: list[Any]) -> bytes:
        good = [json.dumps(row).encode() for row in rows]
        return b"[" + b",".join([*good, bad] if good else good) + b"]"

    project.sent = sent
    for arguments in (("sync",), ("sync", "--full")):
        assert run(*arguments).code == 0
        models = listed(run)
        assert GOOD in models
        assert len(models) <= 2
    assert run("show", GOOD).code == 0


@pytest.mark.slow
def test_a_name_of_ten_megabytes_is_cut(tables: dict[str, list[Any]], run: Run) -> None:
    row = model_row(1, name="Long " + "x" * 10_000_000)
    tables["model_artifacts"].append(row)
    assert run("sync").code == 0
    assert len(run("list").out) < 2_000
    assert "Long x" in run("show", row["id"]).out


def test_two_ids_that_look_alike_are_two_models(tables: dict[str, list[Any]], run: Run) -> None:
    tables["model_artifacts"] += [
        model_row(number, id=row_id, name=f"Model {number}")
        for number, row_id in enumerate(("same", "same\u200b", "same\x00", "same "))
    ]
    for _ in range(2):
        assert run("sync").code == 0
        models = listed(run).values()
        assert sorted(model["name"] for model in models)[1:] == [f"Model {n}" for n in range(4)]


def test_doctor_counts_rows_with_invalid_values(tables: dict[str, list[Any]], run: Run) -> None:
    tables["model_artifacts"] += [
        model_row(1, training_summary=5),
        model_row(2, configuration={"files": {"a.bin": {"size": 2**63}}}, updated_at="yesterday"),
        model_row(3, quality_metrics={"perplexity": "NaN"}, description=None),
        model_row(4, id=None),
    ]
    tables["notifications"] += [7, None]
    tables["metrics_points"] += [ROWS["metrics_points"] | {"timestamp": "noon"}]
    assert run("sync").code == 0
    found = {check["check"]: check for check in run("doctor", "--offline", "--json").data["checks"]}
    models = found["rows of model_artifacts"]
    assert models["verdict"] == "warning"
    assert models["evidence"].startswith("2 of 4 hold values of the wrong type")
    assert "training_summary" in models["evidence"]
    assert "1 have no usable id" in models["evidence"]
    assert "table editor" in models["remedy"]
    assert found["rows of datasets"]["verdict"] == "ok"
    assert "2 have no usable id" in found["rows of notifications"]["evidence"]
    assert found["rows of metrics_points"]["verdict"] == "warning"
    tables["model_artifacts"] = [model_row(1)]
    assert run("sync", "--full").code == 0
    checks = run("doctor", "--offline", "--json").data["checks"]
    assert {
        check["verdict"] for check in checks if check["check"] == "rows of model_artifacts"
    } == {"ok"}


@pytest.mark.slow
@given(tables=odd_tables())
@examples(5)
def test_a_sync_of_any_rows_succeeds_and_every_command_shows_them(
    tables: dict[str, list[Any]],
    project: FaultyProject,
    url: str,
    run: Run,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        sign_in(patch, url, tmp_path_factory.mktemp("home"))
        project.tables = tables
        project.sent = lambda _table, rows: rows
        ran = run("sync")
        assert ran.code in (0, 1), ran.err
        assert "unexpected" not in ran.err, ran.err
        models = listed(run)
        assert GOOD in models
        for arguments in (
            ("list",),
            ("show", GOOD),
            ("cache",),
            ("doctor", "--offline"),
            ("sync",),
        ):
            ran = run(*arguments)
            assert "unexpected" not in ran.err, (arguments, ran.err)
        for model_id in models:
            assert run("show", str(model_id)).code in (0, 2, 3)
