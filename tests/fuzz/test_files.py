"""Our own files may hold anything, after a crash or an editor: never a traceback."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.errors import ExitCode
from tests.conftest import Run
from tests.fuzz.conftest import examples
from tests.fuzz.test_answers import ESCAPES, json_values

_TOML: Final = st.sampled_from(
    (
        '[profiles.default]\nurl = "http://127.0.0.1:9"\n',
        'default_profile = "x"\n',
        "[profiles]\ndefault = 3\n",
        "[profiles.default]\nurl = 7\nanon_key = []\n",
        '[profiles."\\u001b[31m"]\nurl = "x"\n',
        "[ui]\ntheme = 9\n[keys]\nsync = 4\n",
        "[profiles.default.paths]\n",
        "limit_rate = {}\n",
    )
)
contents: st.SearchStrategy[bytes] = st.one_of(
    st.binary(max_size=200),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.lists(_TOML, max_size=3).map(lambda parts: "".join(parts).encode()),
    st.just(b"[" * 100_000),
    st.just(b"SQLite format 3\x00" + bytes(84)),
)


def _settled(run: Run, *words: str) -> None:
    ran = run(*words)
    assert ran.code in set(ExitCode)
    assert "Something unexpected" not in ran.err, ran.err
    told = ran.err if "--json" in words else ran.out + ran.err
    assert not any(character in told for character in ESCAPES if character != "\t"), told


@given(content=contents)
@examples(60)
def test_any_configuration_is_read_or_refused(
    content: bytes, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("config") / "config.toml"
    file.write_bytes(content)
    for words in (("config", "show"), ("config", "profiles"), ("list", "--offline"), ("whoami",)):
        _settled(run, "--config", str(file), *words)
    before = file.read_bytes()
    if run("--config", str(file), "config", "set", "url", "http://127.0.0.1:9").code:
        assert file.read_bytes() == before


@given(claims=json_values | st.dictionaries(st.sampled_from(("sub", "exp", "email")), json_values))
@examples(60)
def test_any_access_token_is_read_or_refused(claims: object, run: Run, tmp_path: Path) -> None:
    text = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPABASE_URL", "http://127.0.0.1:9")
        patch.setenv("SUPABASE_ANON_KEY", "anon")
        patch.setenv("LORA_TUI_ACCESS_TOKEN", f"e30.{text}.x")
        _settled(run, "whoami", "--offline")
        _settled(run, "list", "--offline")


@given(content=contents)
@examples(40)
def test_any_content_of_our_own_files_is_read_or_refused(
    content: bytes, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORA_TUI_HOME", str(home))
        patch.setenv("SUPABASE_URL", "http://127.0.0.1:9")
        patch.setenv("SUPABASE_ANON_KEY", "anon")
        patch.setenv("GPU_CLUSTER_API_URL", "http://127.0.0.1:9")
        patch.setenv("GPU_CLUSTER_API_KEY", "key")
        patch.setenv("SUPABASE_SERVICE_ROLE_KEY", "service")
        run("whoami")
        run("harvest", "status")
        places = [path for path in home.rglob("*") if path.is_file()]
        places += [home / "downloads" / "a-model" / name for name in _RECORDS]
        for place in places:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        for words in (("whoami",), ("library", "list"), ("verify",), ("harvest", "status")):
            _settled(run, *words)


_RECORDS: Final = (
    "lora-tui.json",
    "adapter_model.safetensors",
    "adapter_config.json",
    "tokenizer.json.part",
    "tokenizer.json.part.json",
)
