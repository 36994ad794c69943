"""`lora-tui jobs`: what runs, how far it is, why it failed; as a table, as data, and followed."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lora_tui import clock
from lora_tui.cache import jobs, records
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.commands.table import Column, table_lines
from lora_tui.sandbox import Sandbox
from lora_tui.text import cell_width, fit_ends
from tests.conftest import Run
from tests.pseudo_terminal import open_terminal, put_back

Put = Callable[..., None]


@pytest.fixture(scope="module")
def synced(synced: Path) -> Path:
    """A home with a session and a cache without jobs, to be copied."""
    with closing(open_cache(cache_in(synced))) as db, transaction(db):
        ids = [row[0] for row in db.execute("SELECT id FROM jobs")]
        jobs.delete_jobs(db, ids)
        records.put_datasets(db, [{"id": "d1", "name": "Support mails"}])
    return synced


@pytest.fixture
def put(signed_in: Path) -> Put:
    """Writes jobs into the cache, as a sync does."""

    def write(*rows: dict[str, Any]) -> None:
        with closing(open_cache(cache_in(signed_in))) as db, transaction(db, Topic.JOBS):
            jobs.put_jobs(db, rows)

    return write


def cache_in(directory: Path) -> Path:
    [path] = directory.rglob("cache*/**/*.sqlite3")
    return path


def row(number: int, status: str, **changes: Any) -> dict[str, Any]:
    moment = clock.now() - timedelta(hours=number)
    return {
        "id": f"{number:08x}-0000-4000-8000-000000000000",
        "dataset_id": "d1",
        "preset_id": "balanced",
        "status": status,
        "created_at": clock.timestamp_text(moment),
        "updated_at": clock.timestamp_text(moment),
        **changes,
    }


def running(number: int, **changes: Any) -> dict[str, Any]:
    """A job that began ten minutes ago and is at step 300 of 1,200."""
    begun = clock.now() - timedelta(minutes=10)
    return row(
        number,
        "running",
        **{
            "started_at": clock.timestamp_text(begun),
            "current_step": 300,
            "total_steps": "1200",
            "progress": 25,
            "current_metrics": {"training_loss": 0.8213},
            "gpu_config": {"type": "H100", "cost_per_gpu_hour": 6},
            **changes,
        },
    )


def test_what_runs_comes_first_with_how_far_it_is(put: Put, run: Run) -> None:
    put(row(1, "completed", final_cost=4.5), running(2), row(3, "queued"))
    ran = run("jobs")
    heading, *lines = ran.out.splitlines()
    assert heading.startswith("ID        STATUS")
    assert [line.split()[1] for line in lines] == ["running", "queued", "completed"]
    for text in (
        "Support mails",
        "25 %",
        "300/1,200",
        "0.8213",
        "about 30:0",
        " left",
        "about $1.00",
    ):
        assert text in lines[0], lines[0]
    assert "$4.50" in lines[2]
    assert "3 of 3 jobs; 1 running, 1 queued; synced" in ran.err


def test_the_list_says_why_a_job_failed_and_its_page_has_the_stack(put: Put, run: Run) -> None:
    put(
        row(
            1,
            "failed",
            error_message="CUDA out of memory\nTried to allocate 2 GiB",
            error_stack="Traceback:\n  train.py, line 7",
            retry_count=2,
        )
    )
    assert "CUDA out of memory" in run("jobs", "--status", "failed").out
    shown = run("jobs", "show", "00000001").out
    for text in ("Tried to allocate 2 GiB", "train.py, line 7", "Attempts             3"):
        assert text in shown
    assert "failed" in shown.splitlines()[1]


def test_json_has_the_backends_row_and_how_far_the_job_is(put: Put, run: Run) -> None:
    put(running(1), row(2, "failed"))
    data = run("jobs", "--json", "--limit", "1").data
    assert data["total"] == 2
    [job] = data["jobs"]
    assert job["progress"] == 25
    assert job["dataset"] == {"name": "Support mails"}
    progress = job["run_progress"]
    assert (progress["share"], progress["step"], progress["total_steps"]) == (0.25, 300, 1200)
    assert progress["seconds_left"] == pytest.approx(1800, rel=0.1)
    assert progress["steps_per_second"] == pytest.approx(0.5, rel=0.1)
    assert progress["cost_is_computed"] is True
    assert progress["estimated_cost"] == pytest.approx(4, rel=0.1)
    shown = run("jobs", "show", job["id"], "--json").data
    assert shown["dataset"]["id"] == "d1"
    assert shown["model"] is None
    assert shown["run_progress"]["step"] == 300


def test_csv_has_a_line_a_job_that_no_spreadsheet_runs(put: Put, run: Run) -> None:
    put(row(1, "failed", error_message="=cmd()"), running(2))
    lines = list(csv.DictReader(io.StringIO(run("jobs", "--csv").out)))
    assert [line["status"] for line in lines] == ["running", "failed"]
    assert lines[1]["reason"] == "'=cmd()"
    assert lines[0]["total_steps"] == "1200"


def test_filters_narrow_the_list(put: Put, run: Run) -> None:
    put(running(1), row(2, "failed", preset_id="aggressive"), row(3, "queued"), row(30, "failed"))

    def ids(*words: str) -> list[int]:
        return [int(job["id"][:8], 16) for job in run("jobs", "--json", *words).data["jobs"]]

    assert ids("--status", "active") == [1, 3]
    assert ids("--status", "failed,queued") == [3, 2, 30]
    assert ids("--preset", "aggressive") == [2]
    assert ids("--gpu", "H100") == [1]
    assert ids("--search", "mails run") == [1]
    assert ids("--dataset", "Support mails", "--reverse", "--sort", "created") == [30, 3, 2, 1]
    assert ids("--until", "2020-01-01") == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--status", "broken"), 2, "There is no status 'broken'"),
        (("--columns", "id,nothing"), 2, "There is no column 'nothing'"),
        (("--since", "yesterday"), 2, "is not a date"),
        (("show", "000000"), 2, "2 jobs match (00000001-0000-4000"),
        (("show", "0000"), 2, "too short"),
        (("show", "ffffffff"), 3, "Job not found or access denied"),
        (("--watch", "--csv", "--offline"), 2, "--watch prints no CSV"),
        (("--status", " , "), 2, "No status is named"),
        (("--since", "2026-11-02", "--until", "2026-11-01"), 2, "--until is before --since"),
        (("--columns", "id", "--csv"), 2, "--columns is for the table"),
        (("--csv", "show", "00000001"), 2, "--csv is not for `lora-tui jobs show`"),
        (("--status", "failed", "cancel", "00000001"), 2, "--status is not for"),
    ],
)
def test_an_error_says_what_to_do(
    words: tuple[str, ...], code: int, said: str, put: Put, run: Run
) -> None:
    put(row(1, "failed"), row(2, "failed"))
    ran = run("jobs", *words)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err


def test_candidates_are_not_said_to_be_all_where_more_match(put: Put, run: Run) -> None:
    put(*(row(number, "failed") for number in range(1, 31)))
    for words in (("jobs", "show"), ("metrics", "--offline")):
        ran = run(*words, "000000")
        assert ran.code == 2
        assert "20 or more" in ran.err


def test_named_columns_are_shown_in_their_order(put: Put, run: Run) -> None:
    put(running(1, current_stage="epoch 2"))
    heading, line = run("jobs", "--columns", "stage,step,id").out.splitlines()
    assert heading.split() == ["STAGE", "STEP", "ID"]
    assert line.split() == ["epoch", "2", "300/1,200", "00000001"]
    assert "validation_loss" in run("jobs", "--columns", "help").out.split()


def test_a_named_column_stays_where_no_job_has_a_value(put: Put, run: Run) -> None:
    put(row(1, "queued"), running(2))
    assert run("jobs", "--status", "queued", "--columns", "loss,left").out.splitlines() == [
        "LOSS  LEFT",
        "   –     –",
    ]
    assert run("jobs", "--columns", "id,reason").out.splitlines()[0].split() == ["ID", "REASON"]


def test_jobs_of_a_status_that_only_the_backend_knows_can_be_chosen(put: Put, run: Run) -> None:
    put(row(1, "Paused"), row(2, "failed"))
    ran = run("jobs", "--status", "paused,active", "--json")
    assert [job["status"] for job in ran.data["jobs"]] == ["Paused"]
    assert "Paused" in run("jobs", "--status", "broken").err


def test_a_cost_beyond_all_numbers_is_unknown(put: Put, run: Run) -> None:
    put(
        running(1, gpu_config={"type": "H100", "cost_per_gpu_hour": 1e308, "num_gpus": 8}),
        running(2, current_cost=-1e308),
    )
    lines = list(csv.DictReader(io.StringIO(run("jobs", "--csv").out)))
    assert [line["cost_so_far"] for line in lines] == ["", "-1e+308"]
    assert [line["estimated_cost"] for line in lines] == ["", ""]
    assert "about –" not in run("jobs").out


def test_a_job_of_the_future_is_not_said_to_be_new(put: Put, run: Run) -> None:
    there = clock.timestamp_text(clock.now() + timedelta(days=800))
    put(row(1, "queued", created_at=there, queued_at=there))
    assert "in 2 y" in run("jobs").out


def test_rows_of_nonsense_are_shown_plainly(put: Put, run: Run) -> None:
    put(
        running(1, current_step=-5, total_steps=3, progress=1e300, started_at="2999-01-01"),
        running(2, current_step=10**15, total_steps=1, current_metrics={"training_loss": "NaN"}),
        running(3, started_at="0001-01-01T00:00:00Z", current_epoch=1e200, retry_count=-4),
        row(4, "\x1b[31mfailed", error_message="\x1b]0;x\x07bad\u202e", current_cost=-1e30),
    )
    for words in ((), ("--csv",), ("--json",), ("--columns", "id,left,pace,elapsed,attempts")):
        ran = run("jobs", *words)
        assert ran.code == 0, ran
        assert "\x1b" not in ran.out
    for number in range(1, 5):
        assert run("jobs", "show", f"{number:08x}").code == 0


def test_a_table_is_never_wider_than_the_terminal_and_keeps_what_matters() -> None:
    columns = [
        Column("ID", 9),
        Column("NAME", 8, least=9),
        Column("LOSS", 5, right=True),
        Column("LEAST", 1),
    ]
    rows = [["00000001", "Customer support mails v2", "0.8213", "something long"]]
    for width in range(20, 80):
        lines = table_lines(columns, rows, width)
        assert all(cell_width(line) <= width for line in lines)
        assert lines[1].startswith("00000001")
        assert ("LEAST" in lines[0]) <= ("LOSS" in lines[0])
    assert fit_ends("Customer support mails v2", 15) == "Customer s…s v2"
    assert table_lines(columns, rows, None)[1].split("  ")[1] == "Customer support mails v2"


def test_followed_jobs_are_a_line_a_change_where_there_is_no_terminal(put: Put) -> None:
    put(running(1))
    process = subprocess.Popen(
        [sys.executable, "-m", "lora_tui", "--offline", "jobs", "--watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert "step 300/1,200" in process.stdout.readline()
    put(running(1), row(2, "queued"))
    assert "queued" in process.stdout.readline()
    put(row(1, "completed", current_step=1200))
    assert "completed" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=60)
    assert (process.returncode, rest) == (130, "")
    assert said == "Interrupted.\n"


def test_a_followed_job_that_vanishes_is_said_to_be_gone(put: Put, home: Path) -> None:
    put(running(1), running(2))
    process = subprocess.Popen(
        [sys.executable, "-m", "lora_tui", "--offline", "jobs", "--watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stderr
    assert {process.stdout.readline().split()[2] for _ in range(2)} == {"00000001", "00000002"}
    with closing(open_cache(cache_in(home))) as db, transaction(db, Topic.JOBS):
        jobs.delete_jobs(db, [row(2, "running")["id"]])
    assert process.stderr.readline() == "Job 00000002 is no longer in the project.\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "Interrupted.\n")


def test_followed_jobs_are_drawn_in_place_and_the_terminal_is_put_back(put: Put) -> None:
    put(running(1))
    command = [sys.executable, "-m", "lora_tui", "--offline", "jobs", "--watch"]
    terminal = open_terminal(command, {**os.environ, "TERM": "xterm-256color"}, controlling=True)
    terminal.wait_for("25 %")
    put(running(1, current_step=600))
    terminal.wait_for("50 %")
    fcntl.ioctl(terminal.master, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 40, 0, 0))
    terminal.wait_for("00000001")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert put_back(bytes(terminal.written))
    assert b"00000001" in bytes(terminal.written).rpartition(b"\x1b[?1049l")[2]


def test_the_backend_is_asked_while_jobs_are_followed(put: Put, sandbox: Sandbox) -> None:
    put(running(1))
    process = subprocess.Popen(
        [sys.executable, "-m", "lora_tui", "jobs", "--watch", "1", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert json.loads(process.stdout.readline())["status"] == "running"
    # the cache has lost the jobs of the backend, and one too many: a sync notices
    assert json.loads(process.stdout.readline())["user_id"] == sandbox.user_id
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
