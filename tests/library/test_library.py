"""`library` and `verify`: what lies on the disk is told as it is, and only that is removed."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from lora_tui.cli.run import main
from lora_tui.library.contents import FileState, examine
from lora_tui.sandbox import Sandbox
from lora_tui.transfers.model_directory import MANIFEST
from tests.conftest import Run

ADAPTER = "adapter_model.safetensors"


@pytest.fixture
def downloaded(configured: Sandbox, run: Run) -> Path:
    """The directory of a model that was downloaded whole."""
    run("sync")
    models = run("list", "--json", "--sort", "quality").data["models"]
    model = next(model for model in models if len(model["artifacts"]) == 6)
    return Path(run("download", model["id"], "--json").data["directory"])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def begin(target: Path) -> None:
    """What a download of `target` leaves that was stopped."""
    target.with_name(f"{target.name}.part").write_bytes(b"begun")
    note = {"etag": '"a"', "total": 9, "missing": [[5, 9]]}
    target.with_name(f"{target.name}.part.json").write_text(json.dumps(note))


def states(data: Any) -> dict[str, str]:
    (adapter,) = data["adapters"]
    return {file["name"]: file["state"] for file in adapter["files"]}


def test_a_download_is_listed_and_verifies(downloaded: Path, run: Run) -> None:
    (adapter,) = run("library", "--json").data["adapters"]
    assert adapter["directory"] == str(downloaded)
    assert adapter["state"] == "ok"
    assert adapter["size"] > 1_000_000
    ran = run("verify")
    assert ran.code == 0
    assert ran.out.count("  ok ") == 6


def test_verify_needs_no_login_where_the_directory_is_named(
    downloaded: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SUPABASE_URL")
    monkeypatch.setenv("LORA_TUI_HOME", str(tmp_path / "elsewhere"))
    assert run("verify", str(downloaded)).code == 0


@pytest.mark.parametrize(
    ("harm", "state"),
    [
        (flip, "changed"),
        (lambda path: path.write_bytes(b"short"), "wrong-size"),
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.rename(path.with_name(f"{path.name}.part")), "partial"),
    ],
)
def test_verify_finds_what_is_not_as_it_was_downloaded(
    downloaded: Path, run: Run, harm: Any, state: str
) -> None:
    harm(downloaded / ADAPTER)
    ran = run("verify", "--json")
    assert states(ran.data)[ADAPTER] == state
    assert ran.code == (7 if state == "partial" else 6)
    assert ran.data["ok"] is False
    assert ADAPTER in run("verify").out


def test_a_link_in_place_of_a_file_is_damage(downloaded: Path, run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (downloaded / ADAPTER).rename(other)
    (downloaded / ADAPTER).symlink_to(other)
    assert states(run("verify", "--json").data)[ADAPTER] == "damaged"


def test_a_model_that_was_harvested_anew_is_outdated_and_not_broken(
    downloaded: Path, run: Run, configured: Sandbox
) -> None:
    model_id = json.loads((downloaded / "lora-tui.json").read_text())["id"]
    with httpx.Client(headers={"apikey": configured.service_key}) as client:
        url = f"{configured.url}/rest/v1/model_artifacts"
        query = {"id": f"eq.{model_id}"}
        row = client.get(url, params=query).raise_for_status().json()[0]
        files = {ADAPTER: {"sha256": "0" * 64, "size": 1}}
        configuration = {**(row["configuration"] or {}), "files": files}
        client.patch(url, params=query, json={"configuration": configuration}).raise_for_status()
    run("sync")
    ran = run("verify", "--json")
    assert states(ran.data)[ADAPTER] == "outdated"
    assert ran.code == 0


def test_an_adapter_from_elsewhere_is_checked_by_its_structure(tmp_path: Path, run: Run) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "adapter_config.json").write_text("{}")
    (tmp_path / "a" / ADAPTER).write_bytes(b"no safetensors")
    ran = run("verify", str(tmp_path / "a"), "--json")
    assert states(ran.data) == {"adapter_config.json": "unrecorded", ADAPTER: "damaged"}
    assert ran.code == 6
    assert run("verify", str(tmp_path / "nowhere")).code == 3
    (tmp_path / "empty").mkdir()
    assert run("verify", str(tmp_path / "empty")).code == 3


def test_a_hostile_record_names_no_file_outside_its_directory(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    directory.mkdir()
    (tmp_path / "secret").write_text("x")
    files = {"../secret": {"size": 1, "sha256": "0"}, "..": {}, "": {}, "a\0": {}, "x": {}}
    (directory / MANIFEST).write_text(json.dumps({"id": "m", "files": files}))
    adapter = examine(directory, thorough=True)
    assert [(file.name, file.state) for file in adapter.files] == [("x", FileState.MISSING)]


def test_removing_takes_what_was_downloaded_and_leaves_what_was_not(
    downloaded: Path, run: Run
) -> None:
    (downloaded / "notes.txt").write_text("mine")
    begin(downloaded / "more.bin")
    assert run("library", "remove", str(downloaded), "--yes").code == 0
    assert [path.name for path in downloaded.iterdir()] == ["notes.txt"]
    assert run("library", "--json").data["adapters"] == []
    assert run("list", "--downloaded", "--json").data["models"] == []


def test_files_of_other_programs_are_neither_removed_nor_unfinished_downloads(
    downloaded: Path, run: Run
) -> None:
    """A browser or an editor calls its files `.part` too."""
    own = {
        downloaded / "thesis.pdf.part": b"mine",
        downloaded / "empty.part": b"",
        downloaded / ".part": b"",
        downloaded / "odd.part": b"mine",
        downloaded / "odd.part.json": b'{"etag": 1}',
        downloaded / ".lora-tui-notes.tmp": b"mine",
        downloaded.with_name(f"{downloaded.name}.part"): b"mine",
        downloaded / "work.part" / "inside": b"mine",
        downloaded / f"{ADAPTER}.part" / "inside": b"mine",
    }
    for path, content in own.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    ran = run("verify", "--json")
    assert ran.code == 0
    assert states(ran.data)["thesis.pdf.part"] == "extra"
    assert run("library", "remove", str(downloaded), "--yes").code == 0
    assert {path: path.read_bytes() for path in own} == own
    assert sorted(path.name for path in downloaded.iterdir()) == sorted(
        {path.relative_to(downloaded).parts[0] for path in own if downloaded in path.parents}
    )


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, int], None]:
    """Has the disk refuse everything at a path; root, who may run this, can read all."""

    def start(refused: Path, number: int) -> None:
        def refusing(name: str, inside_only: bool) -> None:
            real = getattr(os, name)

            def call(path: Any, *arguments: Any, **options: Any) -> Any:
                at = Path(os.fsdecode(path)) if isinstance(path, str | Path) else Path()
                if refused in at.parents or (at == refused and not inside_only):
                    raise OSError(number, os.strerror(number), str(path))
                return real(path, *arguments, **options)

            monkeypatch.setattr(os, name, call)
            if name == "open":
                monkeypatch.setattr(io, "open", refusing_open(call))

        def refusing_open(call: Any) -> Any:
            real = io.open

            def opened(file: Any, *arguments: Any, **options: Any) -> Any:
                if isinstance(file, str | Path):
                    os.close(call(file, os.O_RDONLY))
                return real(file, *arguments, **options)

            return opened

        refusing("open", inside_only=False)
        refusing("stat", inside_only=True)
        refusing("listdir", inside_only=False)
        refusing("scandir", inside_only=False)

    return start


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_a_directory_that_can_not_be_read_does_not_hide_the_others(
    downloaded: Path, run: Run, refuse: Callable[[Path, int], None], number: int
) -> None:
    lost = downloaded.with_name("lost+found")
    lost.mkdir()
    refuse(lost, number)
    for command in ("library", "verify"):
        ran = run(command, "--json")
        assert ran.code == 7
        found = {adapter["directory"]: adapter["state"] for adapter in ran.data["adapters"]}
        assert found == {str(downloaded): "ok", str(lost): "unreadable"}
        assert "unreadable" in run(command).out
    (downloaded / ADAPTER).write_bytes(b"short")
    assert run("verify").code == 6
    model_id = json.loads((downloaded / "lora-tui.json").read_text())["id"]
    assert run("library", "remove", model_id, "--yes").code == 0
    assert not downloaded.exists()


def test_a_file_that_can_not_be_read_does_not_hide_the_others(
    downloaded: Path, run: Run, refuse: Callable[[Path, int], None]
) -> None:
    refuse(downloaded / ADAPTER, errno.EACCES)
    ran = run("verify", "--json")
    assert ran.code == 7
    assert sorted(states(ran.data).values()) == ["ok"] * 5 + ["unreadable"]
    assert states(ran.data)[ADAPTER] == "unreadable"
    assert "can't be read" in run("verify").out


def test_a_record_that_can_not_be_read_is_not_removed_without_its_files(
    downloaded: Path, run: Run, refuse: Callable[[Path, int], None]
) -> None:
    there = sorted(downloaded.iterdir())
    refuse(downloaded / "lora-tui.json", errno.EACCES)
    assert run("verify").code == 7
    assert run("library", "remove", str(downloaded), "--yes").code == 1
    assert sorted(downloaded.iterdir()) == there


def test_a_reader_of_events_that_goes_away_does_not_end_the_download(
    configured: Sandbox, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("sync")
    models = run("list", "--json").data["models"]
    model = next(model for model in models if len(model["artifacts"]) == 6)
    for number, stream in enumerate(("stdout", "stderr")):
        reader, writer = os.pipe()
        os.close(reader)
        words = ["download", model["id"], "--to", str(tmp_path / str(number))]
        with monkeypatch.context() as patch, os.fdopen(writer, "w", buffering=1) as gone:
            patch.setattr(sys, stream, gone)
            assert main([*words, "--events"] if stream == "stdout" else words) == 0
            assert main(["download", "no such model"]) == 3
        assert run("verify", str(tmp_path / str(number))).code == 0


def model_of(directory: Path) -> str:
    return str(json.loads((directory / MANIFEST).read_text())["id"])


@pytest.mark.parametrize(
    ("removed_by", "first_is_listed"), [("command", True), ("command", False), ("hand", True)]
)
def test_removing_one_copy_keeps_the_other_known(
    downloaded: Path, run: Run, home: Path, tmp_path: Path, removed_by: str, first_is_listed: bool
) -> None:
    model = model_of(downloaded)
    if not first_is_listed:
        with closing(sqlite3.connect(next(home.rglob("*.sqlite3")))) as db, db:
            db.execute("DELETE FROM transfers")
    second = tmp_path / "second"
    assert run("download", model, "--to", str(second)).code == 0
    if removed_by == "command":
        assert run("library", "remove", str(second), "--yes").code == 0
    else:
        shutil.rmtree(second)
    assert [m["id"] for m in run("list", "--downloaded", "--json").data["models"]] == [model]
    assert run("inspect", model, "--offline").code == 0
    assert str(downloaded) in run("library").out
    assert run("serve-config", model, "--for", "vllm", "--json").data["directory"] == str(
        downloaded
    )


def test_removing_the_first_copy_keeps_the_second(
    downloaded: Path, run: Run, tmp_path: Path
) -> None:
    model, second = model_of(downloaded), tmp_path / "second"
    assert run("download", model, "--to", str(second)).code == 0
    assert {a["directory"] for a in run("library", "--json").data["adapters"]} == {
        str(downloaded),
        str(second),
    }
    assert run("library", "remove", str(downloaded), "--yes").code == 0
    assert run("serve-config", model, "--for", "vllm", "--json").data["directory"] == str(second)
    assert run("library", "remove", str(second), "--yes").code == 0
    assert run("list", "--downloaded", "--json").data["models"] == []


def test_removing_asks_first(downloaded: Path, run: Run) -> None:
    ran = run("library", "remove", str(downloaded))
    assert ran.code == 2
    assert "--yes" in ran.err
    assert (downloaded / ADAPTER).exists()


def test_removing_by_id_or_name_and_what_is_not_here(downloaded: Path, run: Run) -> None:
    record = json.loads((downloaded / "lora-tui.json").read_text())
    assert run("library", "remove", "no such model", "--yes").code == 3
    assert run("library", "remove", record["id"][:8], "--yes").code == 0
    assert not downloaded.exists()


def test_a_damaged_file_is_fetched_again_without_the_others(
    downloaded: Path, run: Run, configured: Sandbox
) -> None:
    flip(downloaded / ADAPTER)
    model_id = json.loads((downloaded / "lora-tui.json").read_text())["id"]
    configured.forget_requests()
    assert run("download", model_id).code == 7
    assert run("download", model_id, "--force").code == 0
    assert run("verify").code == 0
    fetched = [
        r["path"]
        for r in configured.requests()
        if r["method"] == "GET" and "/object/sign/" in r["path"]
    ]
    assert [path.rsplit("/", 1)[1] for path in fetched] == [ADAPTER]


def test_events_tell_a_program_each_step(configured: Sandbox, run: Run, tmp_path: Path) -> None:
    run("sync")
    models = run("list", "--json").data["models"]
    model = next(model for model in models if len(model["artifacts"]) == 6)
    ran = run(
        "download", model["id"], "--to", str(tmp_path / "x"), "--events", "--limit-rate", "9M"
    )
    events = [json.loads(line) for line in ran.out.splitlines()]
    done = {event["file"] for event in events if event["state"] == "done"}
    assert done == set(model["artifacts"])
    assert all(event["event"] == "transfer" for event in events)


def test_a_rate_that_is_none_is_a_usage_error(configured: Sandbox, run: Run) -> None:
    assert run("download", "x", "--limit-rate", "fast").code == 2


def test_an_extra_argument_is_refused(run: Run) -> None:
    ran = run("library", "list", "some model")
    assert ran.code == 2
    assert "lora-tui library" in ran.err
