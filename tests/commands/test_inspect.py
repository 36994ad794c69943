"""`inspect`: an adapter's facts by its header, in the bucket and on this disk."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from lora_tui.gateway.read_prefix import read_prefix
from lora_tui.sandbox import Sandbox
from tests.commands.models import whole_model
from tests.conftest import Run

WHOLE = 256 << 20


def test_an_adapter_in_the_bucket_is_inspected_without_downloading_it(
    configured: Sandbox, run: Run
) -> None:
    run("sync")
    model = whole_model(run)
    before = len(configured.requests())
    ran = run("inspect", model, "--json")
    assert ran.code == 0
    facts = ran.data
    assert facts["agrees"] is True
    assert facts["model_id"] == model
    assert list(facts["ranks"]) == [str(facts["config"]["r"])]
    assert set(facts["target_modules"]) == {"q_proj", "v_proj"}
    assert facts["dtypes"] == {"F16": facts["parameters"]}
    assert facts["bytes"] == facts["parameters"] * 2 + facts["header_bytes"] + 8
    gets = [r for r in configured.requests()[before:] if r["method"] == "GET"]
    fetched = [r for r in gets if "adapter_model" in r["path"]]
    assert [(r["status"], r["sent"]) for r in fetched] == [(206, _ranged(fetched[0]))]
    assert facts["header_bytes"] + 8 <= fetched[0]["sent"] < facts["bytes"]
    text = run("inspect", model)
    assert "weights and configuration agree" in text.out
    assert "Base model" in text.out


def test_a_downloaded_adapter_is_inspected_offline_with_the_same_result(
    configured: Sandbox, run: Run, tmp_path: Path
) -> None:
    run("sync")
    model = whole_model(run)
    there = run("inspect", model, "--json").data
    run("download", model, "--to", str(tmp_path / "a"))
    before = len(configured.requests())
    for target in (tmp_path / "a", tmp_path / "a" / "adapter_model.safetensors"):
        ran = run("inspect", str(target), "--json")
        assert ran.code == 0
        here = ran.data
        for key in ("ranks", "dtypes", "parameters", "modules", "config", "bytes"):
            assert here[key] == there[key]
    assert len(configured.requests()) == before


def test_a_configuration_that_does_not_match_ends_with_6_and_one_document(
    configured: Sandbox, run: Run, tmp_path: Path
) -> None:
    run("sync")
    run("download", whole_model(run), "--to", str(tmp_path / "a"))
    path = tmp_path / "a" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "r": 4096}))
    ran = run("inspect", str(tmp_path / "a"), "--json")
    assert ran.code == 6
    assert ran.data["agrees"] is False
    assert "4096" in ran.data["problems"][0]


def _ranged(request: dict[str, Any]) -> int:
    first, last = request["range"].removeprefix("bytes=").split("-")
    return int(last) - int(first) + 1


def _file(header: str, data: int = 0) -> bytes:
    return len(header).to_bytes(8, "little") + header.encode() + bytes(data)


def _tensor(begin: int, end: int) -> str:
    return f'{{"dtype": "F16", "shape": [{(end - begin) // 2}], "data_offsets": [{begin}, {end}]}}'


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param((1 << 62).to_bytes(8, "little") + b"{}", id="huge length"),
        pytest.param((90 << 20).to_bytes(8, "little") + b"{}", id="length beyond the file"),
        pytest.param(_file("[]"), id="no table"),
        pytest.param(_file('{"a":' * 100_000 + "1" + "}" * 100_000), id="deep"),
        pytest.param(_file("[" * 100_000), id="deep and broken"),
        pytest.param(_file(f'{{"a": {_tensor(0, 8)}, "b": {_tensor(4, 12)}}}', 12), id="overlap"),
        pytest.param(_file(f'{{"a": {_tensor(0, 8)}, "b": {_tensor(10, 12)}}}', 12), id="gap"),
        pytest.param(_file(f'{{"a": {_tensor(0, 8)}}}', 4), id="beyond the end"),
    ],
)
def test_a_hostile_file_is_refused_in_one_line(run: Run, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.safetensors"
    file.write_bytes(content)
    ran = run("inspect", str(file))
    assert (ran.code, ran.out, ran.err.count("\n")) == (6, "", 1)


def test_files_that_can_not_be_inspected_are_explained(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("inspect", str(tmp_path / "empty")).code == 3
    assert run("inspect", str(tmp_path / "none.safetensors")).code == 3
    assert run("inspect", "/dev/zero").code == 2
    for name in ("x", "y"):
        (tmp_path / "empty" / f"{name}.safetensors").touch()
    ran = run("inspect", str(tmp_path / "empty"))
    assert ran.code == 2
    assert "x.safetensors, y.safetensors" in ran.err


def test_a_hostile_file_in_the_bucket_is_refused_in_one_line(configured: Sandbox, run: Run) -> None:
    run("sync")
    model = whole_model(run)
    path = run("show", model, "--json").data["artifacts"]["adapter_model.safetensors"]
    httpx.post(
        f"{configured.url}/storage/v1/object/lora-models/{path}",
        headers={"apikey": configured.service_key, "x-upsert": "true"},
        content=(30 << 20).to_bytes(8, "little") + b"{}",
    ).raise_for_status()
    ran = run("inspect", model)
    assert (ran.code, ran.out, ran.err.count("\n")) == (6, "", 1)


def test_offline_inspects_the_download(configured: Sandbox, run: Run) -> None:
    run("sync")
    model = whole_model(run)
    assert run("--offline", "inspect", model).code == 5
    assert run("download", model).code == 0
    ran = run("--offline", "inspect", model, "--json")
    assert ran.code == 0
    assert ran.data["agrees"] is True


class _NoRanges:
    """A server that sends all of a large file, whatever is asked for; `sent` counts its bytes."""

    def __init__(self) -> None:
        self.sent = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/file?token=x"
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % WHOLE)
            with suppress(OSError):
                while self.sent < WHOLE:
                    self.sent += connection.send(bytes(65536))
        self._listener.close()


@pytest.fixture
def no_ranges() -> Iterator[_NoRanges]:
    server = _NoRanges()
    yield server
    server.thread.join(60)


def test_a_server_without_ranges_is_read_no_further_than_needed(no_ranges: _NoRanges) -> None:
    beginning, size = read_prefix(no_ranges.url, 1000)
    no_ranges.thread.join(60)
    assert beginning == bytes(1000)
    assert size == WHOLE
    assert no_ranges.sent < WHOLE // 4
