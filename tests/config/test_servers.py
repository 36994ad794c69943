"""Servers in the configuration file: what is read, refused, written and removed."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.config.servers import KEYS, Server, servers_of
from lora_tui.config.write import remove_server, write_server
from lora_tui.domain.servers import ServerKind, server_name
from lora_tui.errors import ConfigError, LoraTuiError

URL = {"url": "http://gpu-1:8000"}


def test_a_server_is_read_with_all_that_it_has(tmp_path: Path) -> None:
    table = {
        "url": "http://gpu-1:8000/v1/",
        "kind": "vllm",
        "local": str(tmp_path),
        "remote": "/models/",
        "keyring": True,
    }
    (server,) = servers_of({"gpu-1": table}, "profile x").values()
    assert server == Server(
        "gpu-1", "http://gpu-1:8000", ServerKind.VLLM, tmp_path, "/models/", None, True
    )
    assert server.server_path(tmp_path / "a" / "b") == "/models/a/b"
    assert server.server_path(tmp_path.parent) is None


@pytest.mark.parametrize(
    "table",
    [
        3,
        {},
        {"url": 5},
        {"url": "ftp://x"},
        {"url": "http://u:p@x"},
        {**URL, "kind": "tgi"},
        {**URL, "local": "/x"},
        {**URL, "keyring": "yes"},
        {**URL, "other": "x"},
    ],
    ids=str,
)
def test_a_table_that_is_no_server_is_one_sentence(table: object) -> None:
    with pytest.raises(ConfigError):
        servers_of({"gpu-1": table}, "profile x")


def test_what_the_cloud_sees_in_clear_text_is_known() -> None:
    def in_clear(url: str) -> bool:
        return Server("x", url).is_in_clear

    assert in_clear("http://gpu.example.com")
    assert in_clear("http://8.8.8.8:80")
    for url in ("https://gpu.example.com", "http://gpu-1", "http://10.1.2.3", "http://[::1]:1"):
        assert not in_clear(url)


@pytest.mark.parametrize("profile", ["default", "my.work", "demo"])
def test_a_server_is_written_and_removed_without_a_trace(tmp_path: Path, profile: str) -> None:
    file = tmp_path / "config.toml"
    text = (
        f'# mine\n[profiles."{profile}"]\nurl = "https://one.example" # here\n\n[ui]\nbell = true\n'
    )
    file.write_text(text)
    write_server(file, profile, "gpu.1", {**URL, "kind": "vllm", "via": None})
    read = tomllib.loads(file.read_text())["profiles"][profile]["servers"]["gpu.1"]
    assert read == {**URL, "kind": "vllm"}
    write_server(file, profile, "gpu.2", {**URL})
    write_server(file, profile, "gpu.1", {"kind": None})
    assert tomllib.loads(file.read_text())["profiles"][profile]["servers"] == {
        "gpu.1": URL,
        "gpu.2": URL,
    }
    remove_server(file, profile, "gpu.1")
    remove_server(file, profile, "gpu.2")
    remove_server(file, profile, "gpu.3")
    assert file.read_text().rstrip() == text.rstrip()


def test_the_demo_takes_no_server_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="demo does not use"):
        write_server(tmp_path / "config.toml", "demo", "gpu-1", {**URL})
    write_server(tmp_path / "config.toml", "work", "demo", {**URL})  # a name like any other


values = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=9))


@given(st.dictionaries(st.text(max_size=5), st.dictionaries(st.sampled_from(KEYS), values)))
def test_any_tables_are_read_or_refused(tables: dict[str, Any]) -> None:
    try:
        found = servers_of(tables, "profile x")
    except LoraTuiError:
        return
    assert all(server_name(name) == name for name in found)
