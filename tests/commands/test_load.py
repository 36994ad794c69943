"""`load` and `unload`: a model into a server, each version at a path of its own, and protected."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import httpx
import pytest

from lora_tui import clock
from lora_tui.account import sessions
from lora_tui.adapters.snippets import ServedAdapter
from lora_tui.config.load import load_profile
from lora_tui.deployments.record import open_deployments, record_path
from lora_tui.domain.servers import Loaded, ServedName, ServerKind, ServerState
from lora_tui.engine.online import OnlineWriters
from lora_tui.engine.requests import Requests
from lora_tui.errors import (
    BackendError,
    ConflictError,
    LoraTuiError,
    NotFoundError,
    TooLargeAnswerError,
    UnreachableError,
)
from lora_tui.sandbox import Sandbox
from lora_tui.sandbox.vllm import VllmStandIn
from lora_tui.sandbox.vllm.base_model import LLAMA_8B
from lora_tui.serving.at_start import start_commands
from tests.conftest import Ran, Run
from tests.serving.fake_client import FakeClient

ADAPTER = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
VIA = "sh -c 'exec sh -s'"


class Server(FakeClient):
    """Loads what it is told to, or fails after or before that."""

    error: BaseException | None = None
    loads = unloads = True

    taken_meanwhile = False
    """Somebody else's adapter gets the name between our look at the list and our question."""

    def state(self) -> ServerState:
        return super().state()._replace(asked_at=clock.timestamp_text(clock.now()))

    def load(self, name: str, path: str) -> None:
        if self.taken_meanwhile:
            self.adapters[name], self.paths[name] = lambda numbers: numbers, "/srv/other"
            raise ConflictError("already loaded")
        if self.loads:
            self.adapters[name] = lambda numbers: [number - 1 for number in numbers]
            self.paths[name] = path
        if self.error is not None:
            raise self.error

    def unload(self, name: str) -> None:
        if not self.unloads:
            return
        if self.adapters.pop(name, None) is None:
            raise NotFoundError("no such adapter")


@pytest.fixture(scope="module")
def running() -> Iterator[VllmStandIn]:
    with VllmStandIn.start(base=LLAMA_8B, max_lora_rank=64, max_loras=2) as started:
        yield started


@pytest.fixture
def vllm(running: VllmStandIn) -> VllmStandIn:
    """A server without adapters."""
    running.forget_adapters()
    running.forget_requests()
    return running


@pytest.fixture
def add(signed_in: Path) -> Callable[..., None]:
    """Writes a server into the configuration."""

    def call(url: str, **values: str) -> None:
        lines = [f"{key} = {json.dumps(value)}" for key, value in {"url": url, **values}.items()]
        table = "[profiles.default.servers.gpu]\n" + "\n".join(lines) + "\n"
        signed_in.joinpath("config.toml").write_text(table)

    return call


@pytest.fixture
def gpu(add: Callable[..., None], vllm: VllmStandIn) -> VllmStandIn:
    """The stand-in, which reads the files of this machine, as the server `gpu`."""
    add(vllm.url, kind="vllm")
    return vllm


@pytest.fixture
def model(signed_in: Path, run: Run) -> dict[str, Any]:
    models = run("list", "--json", "--where", "base_model ~ Llama").data["models"]
    found: dict[str, Any] = next(model for model in models if len(model["artifacts"]) == 6)
    return found


@pytest.fixture
def change(sandbox: Sandbox) -> Iterator[Callable[..., None]]:
    """Gives a model of the project other bytes in one file; the test's end takes that back."""
    undo: list[Callable[[], object]] = []
    with httpx.Client(base_url=sandbox.url, headers={"apikey": sandbox.service_key}) as client:

        def store(path: str, body: bytes) -> None:
            kind = {"Content-Type": "application/octet-stream", "x-upsert": "true"}
            place = f"/storage/v1/object/lora-models/{path}"
            client.post(place, content=body, headers=kind).raise_for_status()

        def patch(model_id: str, configuration: object) -> None:
            rows = "/rest/v1/model_artifacts"
            body = {"configuration": configuration}
            client.patch(rows, params={"id": f"eq.{model_id}"}, json=body).raise_for_status()

        def call(model: dict[str, Any], name: str, body: bytes) -> None:
            path, before = model["artifacts"][name], model["configuration"]
            old = client.get(f"/storage/v1/object/lora-models/{path}").raise_for_status().content
            undo.append(lambda: (store(path, old), patch(model["id"], before)))
            store(path, body)
            known = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}
            files = {**before["files"], name: {**before["files"][name], **known}}
            patch(model["id"], {**before, "files": files})

        yield call
        for step in reversed(undo):
            step()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, add: Callable[..., None]) -> Server:
    """A server in memory in place of the client."""
    server = Server({})
    add("http://127.0.0.1:9", kind="vllm")
    monkeypatch.setattr("lora_tui.engine.loading.open_server", lambda *_: server)
    return server


def loaded(ran: Ran) -> dict[str, Any]:
    assert ran.code == 0, ran.out + ran.err
    found: dict[str, Any] = ran.data["loaded"]
    return found


def load(run: Run, model: dict[str, Any], *more: str) -> dict[str, Any]:
    return loaded(run("load", model["id"], "--to", "gpu", "--no-proof", "--json", *more))


def contents(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {
        path.name: (path.stat().st_ino, path.read_bytes())
        for path in sorted(directory.iterdir())
        if path.is_file() and path.name != "lora-tui.json"
    }


def recorded() -> list[Loaded]:
    with open_deployments(load_profile().paths) as deployments:
        rows = deployments._read("SELECT * FROM loaded ORDER BY name", ())
    return [Loaded(*row) for row in rows]


def zeros(weights: bytes) -> bytes:
    """The same tensors with the value 0: an adapter without effect."""
    (header,) = struct.unpack("<Q", weights[:8])
    return weights[: 8 + header] + bytes(len(weights) - 8 - header)


def test_a_model_is_delivered_loaded_and_proved(
    gpu: VllmStandIn, model: dict[str, Any], run: Run
) -> None:
    ran = run("load", model["id"], "--to", "gpu")

    assert ran.code == 0, ran.err
    name = ran.out.strip()
    assert gpu.loaded == [name]
    assert name.isascii()
    assert model["id"][:8] in name
    assert "Changes the answers" in ran.err
    (row,) = recorded()
    assert Path(row.server_path).name == name
    assert row.server_path == row.directory == os.path.realpath(row.directory)
    again = run("load", model["id"], "--to", "gpu")
    assert again.code == 0
    assert "was loaded already" in again.err


def test_a_verified_download_is_used_where_it_lies(
    gpu: VllmStandIn, model: dict[str, Any], run: Run, sandbox: Sandbox
) -> None:
    directory = Path(run("download", model["id"], "--json").data["directory"])
    before = contents(directory)
    sandbox.forget_requests()

    found = load(run, model)

    assert found["path"] == str(directory)
    assert contents(directory) == before
    assert not [one for one in sandbox.requests() if one["path"].startswith("/storage")]
    assert gpu.loaded == [found["name"]]


def test_a_changed_download_is_not_what_is_loaded(
    gpu: VllmStandIn, model: dict[str, Any], run: Run
) -> None:
    directory = Path(run("download", model["id"], "--json").data["directory"])
    with (directory / ADAPTER).open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"harm")

    found = load(run, model)

    assert found["path"] != str(directory)
    assert found["path"].endswith(found["name"])


def test_files_go_to_the_shared_directory_and_the_server_is_told_its_own_path(
    vllm: VllmStandIn, add: Callable[..., None], model: dict[str, Any], run: Run, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (tmp_path / "there").symlink_to(shared)
    add(vllm.url, kind="vllm", local=str(shared), remote=f"{tmp_path}/there")
    run("download", model["id"])

    found = load(run, model)

    assert found["path"] == f"{tmp_path}/there/{found['name']}"
    assert found["directory"] == f"{shared}/{found['name']}"


def test_a_new_version_has_a_new_path_and_a_new_name_and_the_old_one_is_not_touched(
    gpu: VllmStandIn,
    model: dict[str, Any],
    run: Run,
    change: Callable[..., None],
) -> None:
    first = load(run, model)
    before = contents(Path(first["path"]))
    config = json.loads((Path(first["path"]) / CONFIG).read_bytes())
    change(model, CONFIG, json.dumps({**config, "lora_alpha": 8}).encode())
    run("sync")

    ran = run("load", model["id"], "--to", "gpu", "--no-proof")

    assert ran.code == 0, ran.err
    assert f"An earlier version is loaded as {first['name']}" in ran.err
    second = next(row for row in recorded() if row.name != first["name"])
    assert second.server_path != first["path"]
    assert contents(Path(first["path"])) == before
    assert sorted(gpu.loaded) == sorted([first["name"], second.name])
    taken = run("load", model["id"], "--to", "gpu", "--as", first["name"], "--json")
    assert taken.code == 2
    assert "another adapter of this name" in taken.error["error"]


def test_a_name_of_ones_own_is_given_to_a_path_of_this_version_alone(
    gpu: VllmStandIn, model: dict[str, Any], run: Run
) -> None:
    directory = run("download", model["id"], "--json").data["directory"]

    found = load(run, model, "--as", "support")

    assert found["name"] == "support"
    assert found["path"] != directory
    assert found["path"].endswith(found["version"])
    assert gpu.loaded == ["support"]
    for bad in ("a/b", "", "-x", "x" * 101, "ü"):
        assert run("load", model["id"], "--to", "gpu", "--as", bad).code == 2


def test_what_a_server_has_loaded_is_not_changed_by_any_command(
    gpu: VllmStandIn, model: dict[str, Any], run: Run, change: Callable[..., None]
) -> None:
    run("download", model["id"])
    found = load(run, model)
    directory = Path(found["path"])
    before = contents(directory)
    refused = run("library", "remove", model["id"], "--yes", "--json")
    assert refused.code == 2
    assert "a server has them loaded (gpu)" in refused.error["error"]
    assert f"lora-tui unload {model['id'][:8]} --from gpu" in refused.error["details"]
    config = json.loads((directory / CONFIG).read_bytes())
    change(model, CONFIG, json.dumps({**config, "lora_alpha": 4}).encode())
    run("sync")
    for words in (
        ["download", model["id"], "--force"],
        ["download", model["id"], "--force", "--to", str(directory)],
        ["download", model["id"], "--to", str(directory)],
        ["download", model["id"], CONFIG, "--force", "--to", str(directory)],
    ):
        ran = run(*words, "--json")
        assert ran.code != 0, words
    assert contents(directory) == before
    run("cache", "clear", "--yes")
    run("sync")
    assert run("library", "remove", str(directory), "--yes").code == 2
    assert contents(directory) == before

    assert run("unload", model["id"], "--from", "gpu").code == 0
    assert gpu.loaded == []
    assert run("download", model["id"], "--force", "--to", str(directory)).code == 0
    assert contents(directory) != before
    assert run("library", "remove", str(directory), "--yes").code == 0


def test_a_file_that_is_gone_is_not_brought_back_under_a_servers_hands(
    gpu: VllmStandIn, model: dict[str, Any], run: Run
) -> None:
    found = load(run, model)
    (Path(found["path"]) / CONFIG).unlink()

    ran = run("download", model["id"], "--to", found["path"], "--json")

    assert ran.code != 0
    assert "a server has them loaded" in json.dumps(ran.error)
    assert not (Path(found["path"]) / CONFIG).exists()


def test_library_remove_can_unload_first(gpu: VllmStandIn, model: dict[str, Any], run: Run) -> None:
    found = load(run, model)

    assert run("library", "remove", found["path"], "--yes", "--unload").code == 0

    assert gpu.loaded == []
    assert not Path(found["path"]).exists()
    assert recorded() == []


def test_nothing_is_removed_where_the_record_can_not_be_read(
    gpu: VllmStandIn, model: dict[str, Any], run: Run
) -> None:
    found = load(run, model)
    path = record_path(load_profile().paths)
    path.write_bytes(b"no database" * 100)
    for rest in ("-wal", "-shm"):
        Path(f"{path}{rest}").unlink(missing_ok=True)

    ran = run("library", "remove", found["path"], "--yes", "--json")

    assert ran.code == 1
    assert "Nobody knows whether a server has these files loaded" in ran.error["error"]
    assert str(path) in ran.error["details"]
    assert (Path(found["path"]) / ADAPTER).exists()
    (Path(found["path"]) / CONFIG).write_bytes(b"{}")
    ran = run("download", model["id"], "--force", "--to", found["path"], "--json")
    assert "Nobody knows" in json.dumps(ran.error)


def test_a_refusal_is_told_in_the_servers_words_and_leaves_no_note(
    add: Callable[..., None], model: dict[str, Any], run: Run
) -> None:
    with VllmStandIn.start(base=LLAMA_8B, max_lora_rank=1) as small:
        add(small.url, kind="vllm")
        ran = run("load", model["id"], "--to", "gpu", "--json")

    assert ran.code == 1
    assert "max_lora_rank" in ran.error["details"]
    assert "--max-lora-rank" in ran.error["details"]
    assert recorded() == []


def test_what_a_server_is_known_to_refuse_is_said_before_anything_is_sent(
    gpu: VllmStandIn, model: dict[str, Any], run: Run, change: Callable[..., None], home: Path
) -> None:
    directory = Path(run("download", model["id"], "--json").data["directory"])
    config = json.loads((directory / CONFIG).read_bytes())
    change(model, CONFIG, json.dumps({**config, "use_dora": True}).encode())
    run("sync")
    shutil.rmtree(directory)

    ran = run("load", model["id"], "--to", "gpu", "--json")

    assert ran.code == 2
    assert "DoRA" in ran.error["details"]
    assert list((home / "downloads").iterdir()) == []
    assert not [one for one in gpu.requests() if one["method"] == "POST"]
    assert run("load", model["id"], "--to", "gpu", "--anyway", "--json").code == 1  # the server's


def test_an_adapter_without_effect_stays_loaded_and_the_exit_code_says_so(
    gpu: VllmStandIn, model: dict[str, Any], run: Run, change: Callable[..., None]
) -> None:
    directory = Path(run("download", model["id"], "--json").data["directory"])
    change(model, ADAPTER, zeros((directory / ADAPTER).read_bytes()))
    run("sync")

    ran = run("load", model["id"], "--to", "gpu")

    assert ran.code == 7
    assert "Loaded without effect" in ran.err
    assert "answered as by the base model" in ran.err
    assert gpu.loaded == [ran.out.strip()]


def test_where_nobody_knows_what_the_server_did_the_files_stay_protected(
    fake: Server, model: dict[str, Any], run: Run
) -> None:
    fake.error, fake.loads = UnreachableError("Timed out"), False

    ran = run("load", model["id"], "--to", "gpu", "--json")

    assert ran.code == 5
    assert "Nobody knows whether gpu has loaded it" in ran.error["error"]
    (row,) = recorded()
    assert run("library", "remove", row.directory, "--yes").code == 2
    fake.error, fake.loads = None, True
    assert load(run, model)["was_there"] is False
    assert len(recorded()) == 1


def test_a_lost_answer_is_looked_up_in_the_servers_list(
    fake: Server, model: dict[str, Any], run: Run
) -> None:
    fake.error = UnreachableError("Timed out")

    assert load(run, model)["name"] in fake.adapters


def test_a_load_that_was_killed_before_the_answer_is_recognised_by_the_next(
    fake: Server, model: dict[str, Any], run: Run
) -> None:
    fake.error = KeyboardInterrupt()
    assert run("load", model["id"], "--to", "gpu").code == 130
    (row,) = recorded()
    assert run("library", "remove", row.directory, "--yes").code == 2
    fake.error = None

    found = load(run, model)

    assert found["was_there"] is True
    assert found["name"] == row.name
    assert len(recorded()) == 1


def test_a_refusal_in_a_race_is_a_refusal(fake: Server, model: dict[str, Any], run: Run) -> None:
    fake.error, fake.loads = BackendError("no", details="own words"), False

    assert run("load", model["id"], "--to", "gpu").code == 1
    assert recorded() == []


def test_a_model_is_unloaded_from_one_server_from_all_or_a_gone_one_is_forgotten(
    gpu: VllmStandIn, model: dict[str, Any], run: Run, add: Callable[..., None]
) -> None:
    load(run, model)
    load(run, model, "--as", "second")
    assert run("unload", model["id"], "--all").code == 0
    assert gpu.loaded == []
    assert run("unload", model["id"], "--from", "gpu").code == 3
    assert run("unload", model["id"]).code == 2
    assert run("unload", "--from", "gpu").code == 2
    load(run, model)
    assert run("unload", "--all", "--from", "gpu").code == 0
    load(run, model)
    gpu.forget_adapters()  # it was started again
    assert run("unload", model["id"], "--from", "gpu").code == 0
    found = load(run, model)
    add("http://127.0.0.1:9", kind="vllm")
    gone = run("unload", model["id"], "--from", "gpu")
    assert gone.code in (3, 5)
    assert len(recorded()) == 1
    ran = run("unload", model["id"], "--from", "gpu", "--forget", "--offline")
    assert ran.code == 0
    assert found["name"] in ran.err
    assert recorded() == []


def test_llama_server_is_given_commands_and_what_it_was_started_with_is_proved(
    fake: Server, model: dict[str, Any], run: Run
) -> None:
    fake.kind = ServerKind.LLAMA_CPP
    fake.adapters["other"], fake.paths["other"] = lambda numbers: numbers, "/srv/o ther.gguf"

    ran = run("load", model["id"], "--to", "gpu")

    assert ran.code == 7
    assert "convert_lora_to_gguf.py" in ran.out
    assert "--lora '/srv/o ther.gguf'" in ran.out
    assert recorded() == []
    started = next(word for word in ran.out.split() if word.endswith(".gguf")
                   and "/" in word and "ther" not in word)  # fmt: skip
    name = Path(started).stem
    fake.adapters[name], fake.paths[name] = lambda numbers: [n - 1 for n in numbers], started
    again = run("load", model["id"], "--to", "gpu")
    assert again.code == 0, again.err
    assert again.out.strip() == name
    (row,) = recorded()
    assert row.directory == str(Path(started).parent)
    assert run("library", "remove", row.directory, "--yes").code == 2


def test_files_are_fetched_on_the_servers_machine_after_it_was_shown(
    vllm: VllmStandIn, add: Callable[..., None], model: dict[str, Any], run: Run, tmp_path: Path
) -> None:
    add(vllm.url, kind="vllm", via=VIA)
    place = tmp_path / "srv"
    asked = ["load", model["id"], "--to", "gpu", "--no-proof", "--remote", str(place)]
    refused = run(*asked, "--json")
    assert refused.code == 2
    assert VIA in refused.error["details"]
    assert not place.exists()

    ran = run(*asked, "--yes")

    assert ran.code == 0, ran.err
    name = ran.out.strip()
    assert f"Running: {VIA} sh -s" in ran.err
    assert "token=" not in ran.err
    assert sorted(path.name for path in (place / name).iterdir()) == sorted(model["artifacts"])
    assert vllm.loaded == [name]
    (row,) = recorded()
    assert (row.server_path, row.directory) == (f"{place}/{name}", "")
    assert run(*asked).code == 0


def test_the_script_can_be_printed_run_by_hand_and_then_said_to_have_run(
    vllm: VllmStandIn, add: Callable[..., None], model: dict[str, Any], run: Run, tmp_path: Path
) -> None:
    add(vllm.url, kind="vllm", via=VIA)
    asked = ["load", model["id"], "--to", "gpu", "--no-proof", "--remote", str(tmp_path / "srv")]

    ran = run(*asked, "--script")

    assert ran.code == 0
    assert "# SECRET: whoever has the links" in ran.out
    assert "They expire at 20" in ran.out
    assert vllm.loaded == []
    file = tmp_path / "script"
    file.write_text(ran.out)
    assert os.system(f"sh {file} >/dev/null") == 0
    assert run(*asked, "--delivered").code == 0
    assert len(vllm.loaded) == 1


def test_the_engine_does_the_same_for_a_screen(
    vllm: VllmStandIn,
    add: Callable[..., None],
    model: dict[str, Any],
    run: Run,
    tmp_path: Path,
) -> None:
    place = tmp_path / "srv"
    add(vllm.url, kind="vllm", via=VIA, remote=str(place))
    profile = load_profile()
    account = sessions.account_of(profile)
    assert account is not None
    owner = sessions.cache_owner(profile, account.user_id)
    connect = partial(OnlineWriters, profile)
    with closing(
        Requests(profile.paths, profile, owner, connect=connect, tell=lambda *_: None)
    ) as engine:
        assert engine.call("list_servers", {}) == [["gpu", "vllm", "not asked yet"]]
        words = {"model_id": model["id"], "server": "gpu"}
        asked = engine.call("load_model", {**words, "confirmed": False})
        assert asked == {"confirm": asked["confirm"]}
        assert asked["confirm"].startswith(f"{VIA} sh -s")
        assert not place.exists()
        done = engine.call("load_model", {**words, "confirmed": True})
        assert done["clear"] is True
        assert any("Changes the answers" in line for line in done["lines"])
        assert len(vllm.loaded) == 1
        assert engine.call("list_servers", {})[0][2] == f"answers, with {LLAMA_8B.name}"
        engine.call("unload_model", words)
    assert vllm.loaded == []
    assert run("show", model["id"], "--json").data["status"] == "stored"


def test_the_project_knows_that_a_model_is_deployed(
    gpu: VllmStandIn, model: dict[str, Any], run: Run, sandbox: Sandbox
) -> None:
    def status() -> tuple[str, bool]:
        with httpx.Client(headers={"apikey": sandbox.service_key}) as client:
            query = {"id": f"eq.{model['id']}"}
            [row] = client.get(f"{sandbox.url}/rest/v1/model_artifacts", params=query).json()
        return row["status"], row["deployed_at"] is not None

    load(run, model)
    assert status() == ("deployed", True)
    load(run, model, "--as", "twice")
    run("unload", "--all", "--from", "gpu")
    assert status() == ("stored", False)
    assert gpu.loaded == []


def test_a_model_that_was_archived_while_deployed_is_stored_once_it_is_unloaded_and_restored(
    gpu: VllmStandIn, model: dict[str, Any], run: Run
) -> None:
    load(run, model)
    run("archive", model["id"])

    run("unload", model["id"], "--from", "gpu")

    assert run("show", model["id"], "--json").data["status"] == "archived"
    run("restore", model["id"])
    assert run("show", model["id"], "--json").data["status"] == "stored"


def test_an_alias_names_the_model(gpu: VllmStandIn, model: dict[str, Any], run: Run) -> None:
    run("alias", "set", "champion", model["id"])

    found = loaded(run("load", "@champion", "--to", "gpu", "--no-proof", "--json"))

    assert found["model_id"] == model["id"]


def test_a_server_that_is_not_known_or_does_not_answer_is_told(
    add: Callable[..., None], model: dict[str, Any], run: Run
) -> None:
    assert run("load", model["id"], "--to", "nowhere").code == 3
    add("http://127.0.0.1:9", kind="vllm")
    assert run("load", model["id"], "--to", "gpu").code == 5
    assert recorded() == []


def test_a_name_that_somebody_else_was_faster_to_take_is_not_noted_as_ours(
    fake: Server, model: dict[str, Any], run: Run
) -> None:
    fake.taken_meanwhile = True

    ran = run("load", model["id"], "--to", "gpu", "--as", "support", "--json")

    assert ran.code == 2
    assert "another adapter of this name" in ran.error["error"]
    assert recorded() == []


def test_a_name_whose_earlier_load_is_not_known_to_have_ended_is_not_given_again(
    fake: Server, model: dict[str, Any], run: Run, change: Callable[..., None]
) -> None:
    fake.error, fake.loads = UnreachableError("Timed out"), False
    run("load", model["id"], "--to", "gpu", "--as", "support")
    (before,) = recorded()
    change(model, CONFIG, b'{"peft_type": "LORA", "r": 8, "target_modules": ["q_proj"]}')
    run("sync")
    fake.error, fake.loads = None, True

    ran = run("load", model["id"], "--to", "gpu", "--as", "support", "--json")

    assert ran.code == 2
    assert "may be loading another version under this name" in ran.error["error"]
    assert recorded() == [before]


@pytest.mark.parametrize("error", [TooLargeAnswerError("too large"), UnreachableError("504")])
def test_an_answer_that_says_nothing_of_the_loading_leaves_the_files_protected(
    fake: Server, model: dict[str, Any], run: Run, error: LoraTuiError
) -> None:
    fake.error, fake.loads = error, False

    assert run("load", model["id"], "--to", "gpu").code == 5
    assert len(recorded()) == 1


def test_two_loads_of_one_model_at_once_are_one_load(
    gpu: VllmStandIn, model: dict[str, Any], run: Run
) -> None:
    run("download", model["id"])
    words = ("load", model["id"], "--to", "gpu", "--no-proof", "--json")

    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(lambda _: load_code(words), range(2)))

    assert codes == [0, 0]
    assert len(gpu.loaded) == len(recorded()) == 1


def test_all_servers_are_asked_to_unload_also_where_one_is_dead(
    gpu: VllmStandIn, model: dict[str, Any], run: Run, signed_in: Path
) -> None:
    load(run, model)
    (row,) = recorded()
    with open_deployments(load_profile().paths) as deployments:
        deployments.note_loaded(row._replace(server="dead", url="http://127.0.0.1:9"))
    with signed_in.joinpath("config.toml").open("a") as file:
        file.write('[profiles.default.servers.dead]\nurl = "http://127.0.0.1:9"\nkind = "vllm"\n')

    ran = run("unload", model["id"], "--all", "--json")

    assert ran.code == 7
    assert [one["server"] for one in ran.data["unloaded"]] == ["gpu"]
    assert "--forget" in ran.data["errors"][0]
    assert [one.server for one in recorded()] == ["dead"]


def test_a_server_under_two_names_has_nothing_under_the_other_either_after_unloading(
    gpu: VllmStandIn, model: dict[str, Any], run: Run, signed_in: Path
) -> None:
    with signed_in.joinpath("config.toml").open("a") as file:
        file.write(f'[profiles.default.servers.twin]\nurl = "{gpu.url}"\nkind = "vllm"\n')
    load(run, model)
    run("load", model["id"], "--to", "twin", "--no-proof")
    assert len(recorded()) == 2

    assert run("unload", model["id"], "--from", "gpu").code == 0

    assert recorded() == []
    assert run("show", model["id"], "--json").data["status"] == "stored"


def test_a_server_with_models_gets_no_other_address_by_which_their_note_would_be_lost(
    gpu: VllmStandIn, model: dict[str, Any], run: Run, add: Callable[..., None]
) -> None:
    load(run, model)
    noted = recorded()
    other = "http://127.0.0.1:9"

    refused = run("servers", "add", "gpu", other, "--kind", "vllm", "--force", "--json")

    assert refused.code == 2
    assert "unload --all --from gpu" in refused.error["details"]
    with VllmStandIn.start(base=LLAMA_8B, max_lora_rank=64) as moved:
        add(moved.url, kind="vllm")  # by hand
        ran = run("load", model["id"], "--to", "gpu", "--json")
        assert ran.code == 2
        assert "had another address" in ran.error["error"]
        assert recorded() == noted
        ran = run("unload", model["id"], "--from", "gpu", "--json")
        assert ran.code == 3
        assert "--forget" in ran.error["details"]


def test_unloading_from_all_takes_the_status_back_that_a_restarted_server_left(
    gpu: VllmStandIn, model: dict[str, Any], run: Run
) -> None:
    load(run, model)
    gpu.forget_adapters()
    with open_deployments(load_profile().paths) as deployments:
        (row,) = recorded()
        deployments.forget_loaded(row.owner, row.server, row.name)  # as `lora-tui servers` does
    assert run("show", model["id"], "--json").data["status"] == "deployed"

    assert run("unload", model["id"], "--all").code == 0

    assert run("show", model["id"], "--json").data["status"] == "stored"


def load_code(words: tuple[str, ...]) -> int:
    """The exit code of the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "lora_tui", *words], capture_output=True, check=False
    ).returncode


def test_a_server_that_says_yes_and_lists_nothing_has_loaded_nothing_for_sure(
    fake: Server, model: dict[str, Any], run: Run
) -> None:
    fake.loads = False

    ran = run("load", model["id"], "--to", "gpu", "--json")

    assert ran.code == 5
    assert "does not list it" in ran.error["details"]
    assert len(recorded()) == 1


def test_a_server_that_still_lists_what_it_unloaded_keeps_the_files_protected(
    fake: Server, model: dict[str, Any], run: Run
) -> None:
    load(run, model)
    fake.unloads = False

    ran = run("unload", model["id"], "--from", "gpu", "--json")

    assert ran.code == 1
    assert "still lists it" in ran.error["error"]
    assert len(recorded()) == 1


def test_a_damaged_record_is_not_moved_away_before_the_servers_have_unloaded(
    gpu: VllmStandIn, model: dict[str, Any], run: Run
) -> None:
    load(run, model)
    path = record_path(load_profile().paths)
    for rest in ("-wal", "-shm"):
        Path(f"{path}{rest}").unlink(missing_ok=True)
    path.write_bytes(b"no database" * 100)

    ran = run("load", model["id"], "--to", "gpu", "--json")

    assert ran.code == 1
    assert "unload what your servers have" in ran.error["details"].lower()


def test_the_start_of_llama_server_is_one_command_whatever_its_paths_are_called() -> None:
    served = ServedAdapter("terse-1", PurePosixPath("/srv/llama-server of us"), "org/base")
    state = ServerState("gpu", "http://gpu", "llama.cpp", "", True,
                        adapters=(ServedName("o", "/srv/llama-server o.gguf", 0),))  # fmt: skip

    last = start_commands(served, state).splitlines()[-1]

    assert shlex.split(last)[-4:] == [
        "--lora", "/srv/llama-server of us/terse-1.gguf", "--lora", "/srv/llama-server o.gguf"
    ]  # fmt: skip
