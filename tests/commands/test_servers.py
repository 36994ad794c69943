"""`lora-tui servers`: add, list and remove; keys; what is loaded there, and what is forgotten."""

from __future__ import annotations

import io
import stat
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lora_tui import clock
from lora_tui.config.load import load_profile
from lora_tui.config.paths import find_paths
from lora_tui.config.servers import Server, find_server
from lora_tui.deployments.record import open_deployments, owner_key
from lora_tui.domain.servers import Loaded
from lora_tui.sandbox.vllm import VllmStandIn
from tests.account.keyrings import Desktop, installed
from tests.conftest import Run
from tests.serving.adapter_folders import write_adapter

pytestmark = pytest.mark.usefixtures("signed_in")
KEY = "sesame-opens-the-door"
LONG_AGO = "2026-11-01T06:00:00.000000Z"


@pytest.fixture(scope="module")
def shared() -> Iterator[VllmStandIn]:
    with VllmStandIn.start() as running:
        yield running


@pytest.fixture
def vllm(shared: VllmStandIn) -> Iterator[VllmStandIn]:
    yield shared
    shared.clear_faults()
    shared.forget_adapters()


@pytest.fixture
def locked() -> Iterator[VllmStandIn]:
    with VllmStandIn.start(key=KEY) as running:
        yield running


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desktop]:
    monkeypatch.delenv("LORA_TUI_NO_KEYRING")
    with installed() as desktop:
        yield desktop


def servers(run: Run, *options: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in run("servers", "list", "--json", *options).data["servers"]}


def table(name: str) -> dict[str, Any]:
    document = tomllib.loads(find_paths().config_file.read_text())
    found: dict[str, Any] = document["profiles"]["default"]["servers"][name]
    return found


def note(run: Run, vllm: VllmStandIn, *, name: str, at: str = LONG_AGO) -> Loaded:
    """Note that a model was loaded into gpu-1 under this name; the record's row."""
    model = run("list", "--json").data["models"][0]
    profile = load_profile()
    user = run("whoami", "--json").data["user_id"]
    one = Loaded(
        owner_key(profile, user), "gpu-1", vllm.url, name, model["id"], model["name"], "v1",
        "/srv/x", "/srv/x", at,
    )  # fmt: skip
    with open_deployments(profile.paths) as deployments:
        deployments.note_loaded(one)
    return one


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_a_server_is_added_by_asking_listed_and_removed(
    run: Run, vllm: VllmStandIn, tmp_path: Path
) -> None:
    assert "`lora-tui servers add NAME URL`" in run("servers").err
    added = run("servers", "add", "gpu-1", f"{vllm.url}/v1")
    assert added.code == 0
    assert f"Added gpu-1: vllm at {vllm.url}, with tiny-random-llama" in added.err
    assert table("gpu-1") == {"url": vllm.url, "kind": "vllm"}
    vllm.engine.load("theirs", str(write_adapter(tmp_path / "theirs")))
    listed = run("servers")
    assert listed.code == 0
    for word in ("gpu-1", "vllm", "yes", "tiny-random-llama", "theirs (not by lora-tui)"):
        assert word in listed.out
    one = servers(run)["gpu-1"]
    assert (one["answers"], one["base_model"], one["version"]) == (
        True,
        "tiny-random-llama",
        "0.32.0",
    )
    assert one["loaded"][0]["name"] == "theirs"
    assert not one["loaded"][0]["by_lora_tui"]
    removed = run("servers", "remove", "gpu-1")
    assert removed.code == 0
    assert servers(run) == {}
    assert "servers" not in find_paths().config_file.read_text()


def test_what_is_kept_in_the_file_besides_stays(run: Run, vllm: VllmStandIn) -> None:
    file = find_paths().config_file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("# mine\n[ui]\nbell = false # quiet\n")
    run("servers", "add", "lab.gpu", vllm.url, "--local", str(file.parent), "--remote", "/models")
    text = file.read_text()
    assert text.startswith("# mine\n[ui]\nbell = false # quiet\n")
    assert '[profiles.default.servers."lab.gpu"]' in text
    assert find_server(load_profile(), "lab.gpu").server_path(file.parent / "a") == "/models/a"
    run("servers", "remove", "lab.gpu")
    assert file.read_text().strip() == "# mine\n[ui]\nbell = false # quiet"


def test_a_server_that_does_not_answer_needs_its_kind(run: Run, vllm: VllmStandIn) -> None:
    dead = "http://127.0.0.1:9"
    refused = run("servers", "add", "gpu-1", dead)
    assert refused.code == 5
    assert "--kind" in refused.err
    added = run("servers", "add", "gpu-1", dead, "--kind", "vllm")
    assert added.code == 0
    assert "could not be asked" in added.err
    one = servers(run)["gpu-1"]
    assert one["answers"] is False
    assert "can't be reached" in one["error"]
    assert run("servers", "add", "gpu-1", vllm.url).code == 2
    assert run("servers", "add", "gpu-1", vllm.url, "--force").code == 0
    assert servers(run)["gpu-1"]["answers"] is True
    assert run("servers", "add", "gpu-2", vllm.url, "--kind", "llama.cpp").code == 2


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("a b", "http://gpu"),
        ("../x", "http://gpu"),
        ("", "http://gpu"),
        ("gpu", "gpu:8000"),
        ("gpu", "http://me:secret@gpu"),
        ("gpu", "file:///etc/passwd"),
    ],
)
def test_names_and_addresses_that_cannot_be_are_refused(run: Run, name: str, url: str) -> None:
    refused = run("servers", "add", name, url, "--kind", "vllm")
    assert refused.code == 2
    assert "secret" not in refused.err
    assert servers(run) == {}


def test_offline_tells_what_was_last_known_and_asks_nobody(run: Run, vllm: VllmStandIn) -> None:
    run("servers", "add", "gpu-1", vllm.url)
    assert servers(run, "--offline")["gpu-1"]["answers"] is None
    servers(run)
    vllm.forget_requests()
    assert servers(run, "--offline")["gpu-1"]["answers"] is True
    assert vllm.requests() == []


def test_a_key_is_asked_for_kept_in_the_keyring_and_never_shown(
    run: Run, locked: VllmStandIn, keyring: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("servers", "add", "gpu-1", locked.url).code == 4
    assert run("servers", "add", "gpu-1", locked.url, "--key", KEY).code == 2
    typed(monkeypatch, f"{KEY}\n")
    added = run("servers", "add", "gpu-1", locked.url, "--key", "-")
    assert added.code == 0
    assert "kept in the keyring" in added.err
    assert table("gpu-1") == {"url": locked.url, "kind": "vllm", "keyring": True}
    assert list(keyring.kept.values()).count(KEY) == 1
    assert servers(run)["gpu-1"]["answers"] is True
    assert KEY not in run("config", "show", "--json").out + run("servers").out + added.err
    run("servers", "remove", "gpu-1")
    assert KEY not in keyring.kept.values()


def test_without_a_keyring_a_key_is_kept_in_the_file_which_becomes_private(
    run: Run, locked: VllmStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = find_paths().config_file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("[ui]\n")
    file.chmod(0o644)
    typed(monkeypatch, f"{KEY}\n")
    added = run("servers", "add", "gpu-1", locked.url, "--key", "-")
    assert str(file) in added.err
    assert table("gpu-1")["key"] == KEY
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert servers(run)["gpu-1"]["answers"] is True
    assert KEY not in run("config", "show").out + run("config", "show", "--json").out
    file.chmod(0o644)
    assert "key of gpu-1" in run("doctor", "--offline").out


def test_a_key_of_the_environment_comes_first_and_a_file_may_hold_it(
    run: Run, locked: VllmStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_TUI_SERVER_KEY_GPU_1", KEY)
    assert run("servers", "add", "gpu-1", locked.url).code == 0
    assert table("gpu-1") == {"url": locked.url, "kind": "vllm"}
    assert servers(run)["gpu-1"]["answers"] is True
    monkeypatch.delenv("LORA_TUI_SERVER_KEY_GPU_1")
    assert "does not accept the key" in servers(run)["gpu-1"]["error"]
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv("LORA_TUI_SERVER_KEY_GPU_1_FILE", str(tmp_path / "key"))
    assert servers(run)["gpu-1"]["answers"] is True


def test_a_key_does_not_go_to_another_address_than_it_was_given_for(
    run: Run, locked: VllmStandIn, vllm: VllmStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, KEY)
    run("servers", "add", "gpu-1", locked.url, "--key", "-")
    vllm.forget_requests()
    changed = run("servers", "add", "gpu-1", vllm.url, "--force")
    assert changed.code == 0
    assert "is removed" in changed.err
    assert "key" not in table("gpu-1")
    assert KEY not in str(vllm.requests())


@pytest.mark.parametrize("url", ["http://gpu.example.com", "http://8.8.8.8:8000"])
def test_a_key_is_not_sent_in_clear_text_through_the_internet(
    run: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, KEY)
    refused = run("servers", "add", "gpu-1", url, "--kind", "vllm", "--key", "-", "--offline")
    assert refused.code == 2
    assert "clear text" in refused.err
    assert run("servers", "add", "gpu-1", url, "--kind", "vllm", "--offline").code == 0
    monkeypatch.setenv("LORA_TUI_SERVER_KEY_GPU_1", KEY)
    assert "clear text" in servers(run)["gpu-1"]["error"]


def test_a_private_server_may_be_asked_over_plain_http(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, url in enumerate(["http://gpu-1:8000", "http://192.168.0.7", "http://gpu.lan"]):
        typed(monkeypatch, KEY)
        added = run(
            "servers", "add", f"s{number}", url, "--kind", "vllm", "--key", "-", "--offline"
        )
        assert added.code == 0


def test_models_are_named_as_the_user_knows_them_and_a_server_with_some_is_not_removed(
    run: Run, vllm: VllmStandIn, tmp_path: Path
) -> None:
    run("servers", "add", "gpu-1", vllm.url)
    vllm.engine.load("terse@1", str(write_adapter(tmp_path / "good")))
    one = note(run, vllm, name="terse@1")
    (loaded,) = servers(run)["gpu-1"]["loaded"]
    assert (loaded["by_lora_tui"], loaded["model_name"]) == (True, one.model_name)
    refused = run("servers", "remove", "gpu-1")
    assert refused.code == 2
    assert "--force" in refused.err
    assert run("servers", "remove", "gpu-1", "--force").code == 0
    with open_deployments(find_paths()) as deployments:
        assert deployments.loaded(one.owner) == []


def test_what_a_server_has_lost_by_a_restart_is_forgotten_and_told(
    run: Run, vllm: VllmStandIn
) -> None:
    run("servers", "add", "gpu-1", vllm.url)
    one = note(run, vllm, name="terse@1")
    listed = run("servers")
    assert "gpu-1 has terse@1 no longer" in listed.err
    assert one.model_name in listed.err
    with open_deployments(find_paths()) as deployments:
        assert deployments.loaded(one.owner) == []
    assert "no longer" not in run("servers").err


def test_what_may_be_on_its_way_to_a_server_is_not_forgotten(run: Run, vllm: VllmStandIn) -> None:
    run("servers", "add", "gpu-1", vllm.url)
    one = note(run, vllm, name="terse@1", at=clock.timestamp_text(clock.now()))
    run("servers")
    with open_deployments(find_paths()) as deployments:
        assert deployments.loaded(one.owner) == [one]


def test_a_hostile_server_can_show_nothing_but_text(run: Run, vllm: VllmStandIn) -> None:
    run("servers", "add", "gpu-1", vllm.url)
    vllm.behavior.hostile = True
    assert "\x1b" not in run("servers").out
    assert servers(run)["gpu-1"]["answers"] is True
    vllm.behavior.hostile = False
    vllm.behavior.wrong_json = "[1, 2"
    assert "can't be understood" in servers(run)["gpu-1"]["error"]


def test_an_unknown_server_is_not_found(run: Run) -> None:
    assert run("servers", "remove", "nobody").code == 3


def test_the_directory_of_a_server_that_is_reached_by_ssh_is_named_with_it(
    run: Run, vllm: VllmStandIn
) -> None:
    added = run(
        "servers", "add", "gpu-1", vllm.url, "--via", "ssh gpu-1", "--remote", "/srv/adapters"
    )

    assert added.code == 0, added.err
    assert (table("gpu-1")["via"], table("gpu-1")["remote"]) == ("ssh gpu-1", "/srv/adapters")


def test_a_server_that_is_down_keeps_its_kind_when_it_gets_a_key(
    run: Run, vllm: VllmStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://127.0.0.1:9"
    assert run("servers", "add", "gpu-1", url, "--kind", "vllm").code == 0
    typed(monkeypatch, "sesame")

    assert run("servers", "add", "gpu-1", url, "--key", "-", "--force").code == 0

    assert table("gpu-1")["kind"] == "vllm"


def test_a_path_on_the_servers_machine_is_absolute(
    run: Run, vllm: VllmStandIn, tmp_path: Path
) -> None:
    local = ("--local", str(tmp_path), "--remote", "adapters")

    assert run("servers", "add", "gpu-1", vllm.url, *local).code == 2


def test_a_path_of_the_server_is_found_on_this_machine_by_the_same_mapping(tmp_path: Path) -> None:
    shared = Server("gpu", "http://gpu", local=tmp_path, remote="/srv/adapters")

    assert shared.directory_of("/srv/adapters/a/b") == tmp_path / "a/b"
    assert shared.directory_of("/srv/adapters/../etc") is None
    assert shared.directory_of("/etc") is None
    assert shared._replace(local=None, via="ssh gpu").directory_of("/srv/adapters/a") is None
    assert shared._replace(local=None, remote=None).directory_of("/etc") == Path("/etc")


def test_a_server_under_two_names_has_the_same_loaded_under_both(
    run: Run, vllm: VllmStandIn, tmp_path: Path
) -> None:
    run("servers", "add", "gpu-1", vllm.url)
    run("servers", "add", "twin", vllm.url)
    vllm.engine.load("terse@1", str(write_adapter(tmp_path / "good")))
    one = note(run, vllm, name="terse@1")

    for name in ("gpu-1", "twin"):
        assert servers(run)[name]["loaded"][0]["model_name"] == one.model_name
