"""Every command that takes a model or a job says which come near one that nobody has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Run


@pytest.mark.parametrize(
    "line",
    [
        "show {}",
        "report {}",
        "compare {} {}",
        "serve-config {} --for peft",
        "metrics {} --offline",
        "download {}",
        "urls {}",
        "inspect {}",
        "spectrum {}",
        "library remove {}",
    ],
)
def test_a_model_that_nobody_has(signed_in: Path, run: Run, line: str) -> None:
    del signed_in
    model = run("list", "--json").data["models"][0]
    typed = f"{model['name'][:-1]}~"
    ran = run(*(word.replace("{}", typed) for word in line.split()))
    assert ran.code == 3
    assert f"similar: {model['name']} (" in ran.err
    assert ran.err.count("\n") == 1


def test_json_has_them_too(signed_in: Path, run: Run) -> None:
    del signed_in
    model = run("list", "--json").data["models"][0]
    error = run("show", f"{model['name'][:-1]}~", "--json").error
    assert error["error"] == "Model not found or access denied"
    assert error["details"].startswith(f"similar: {model['name']} (")


def test_a_job_that_nobody_has(signed_in: Path, run: Run) -> None:
    del signed_in
    job = run("jobs", "--json").data["jobs"][0]["id"]
    typed = job[:7] + ("0" if job[7] != "0" else "1")
    for words in (("jobs", "show", typed), ("jobs", "cancel", typed), ("metrics", typed)):
        ran = run(*words)
        assert ran.code == 3
        assert f"similar: {job}" in ran.err


def test_nothing_is_said_where_nothing_comes_near(signed_in: Path, run: Run) -> None:
    del signed_in
    ran = run("show", "zzzzzz")
    assert ran.code == 3
    assert "similar" not in ran.err
