"""`download` and `sync`, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

from lora_tui.domain import Model
from lora_tui.sandbox import Sandbox
from lora_tui.transfers.download import choose_files
from tests.commands.models import whole_model
from tests.conftest import Run


def test_sync_says_what_it_wrote(configured: Sandbox, run: Run) -> None:
    data = run("sync", "--json").data
    assert data["written"]["model_artifacts"] == 6
    assert run("sync", "--json").data["written"]["model_artifacts"] == 0


def test_a_download_prints_where_the_files_are(
    configured: Sandbox, run: Run, tmp_path: Path
) -> None:
    run("sync")
    model = whole_model(run)
    ran = run("download", model[:8], "--to", str(tmp_path / "here"))
    assert ran.code == 0
    assert ran.out == f"{tmp_path / 'here'}\n"
    assert ran.err.count("verified") == 6
    json.loads((tmp_path / "here" / "adapter_config.json").read_text())


def test_one_file_by_name(configured: Sandbox, run: Run, tmp_path: Path) -> None:
    run("sync")
    directory = tmp_path / "one"
    run("download", whole_model(run), "adapter_config.json", "--to", str(directory))
    assert {file.name for file in directory.iterdir()} == {"adapter_config.json", "lora-tui.json"}


def test_a_pattern_means_the_files_that_fit_it(
    configured: Sandbox, run: Run, tmp_path: Path
) -> None:
    run("sync")
    model = whole_model(run)
    every = set(run("show", model, "--json").data["artifacts"])
    wanted = {name for name in every if name.endswith(".json")}
    assert 1 < len(wanted) < len(every)
    ran = run("download", model, "*.json", "tokenizer*", "--to", str(tmp_path / "x"), "--json")
    assert set(ran.data["files"]) == wanted
    assert set(run("urls", model, "*.json", "--json").data["download_urls"]) == wanted
    for command in ("download", "urls"):
        ran = run(command, model, "*.gguf", "--json")
        assert ran.code == 3
        assert all(name in ran.error["details"] for name in every)
        assert run(command, model, "[").code == 3


def test_a_file_that_is_called_like_a_pattern_is_meant_itself() -> None:
    names = ["*.json", "a.json", "b[1].bin", "b1.bin"]
    model = Model.from_row({"id": "m", "artifacts": {name: f"u/m/{name}" for name in names}})
    assert [file.name for file in choose_files(model, ["*.json"])] == ["*.json"]
    assert [file.name for file in choose_files(model, ["b[1].bin"])] == ["b[1].bin"]
    assert [file.name for file in choose_files(model, ["?.json"])] == ["*.json", "a.json"]
    assert [file.name for file in choose_files(model, ["b[0-9]*"])] == ["b1.bin"]


def test_a_directory_that_can_not_be_made_is_explained(
    configured: Sandbox, run: Run, tmp_path: Path
) -> None:
    run("sync")
    (tmp_path / "file").touch()
    ran = run("download", whole_model(run), "--to", str(tmp_path / "file" / "below"))
    assert ran.code == 1
    assert ran.err.splitlines()[-1].startswith("lora-tui: ")
    assert "Traceback" not in ran.err
