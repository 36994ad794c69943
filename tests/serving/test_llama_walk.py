"""A user with a llama-server: it is started again with the adapters, and the effect is proved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lora_tui.sandbox import Sandbox
from tests.real.commands import User
from tests.seeded import short_curves
from tests.serving import adapter_folders
from tests.serving.llama import Llama, running_llama
from tests.serving.tiny_gguf import write_adapter, write_base


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    """Somebody with an empty home and a project."""
    with short_curves(), Sandbox.start(models=6, waiting_jobs=2) as sandbox:
        yield User(tmp_path / "home", sandbox.environment())


def test_adapters_given_at_the_start_show_their_effect_and_b_of_zero_is_found_out(
    user: User, tmp_path: Path
) -> None:
    dataset = user.dataset()
    models = {}
    for name, spread in (("good", 0.05), ("zero", 0.0)):
        folder = adapter_folders.write_adapter(
            tmp_path / name, adapter_folders.matrices(spread=spread), base="tiny"
        )
        pushed = user.types("push", folder, "--dataset", dataset, "--name", name, "--json")
        models[name] = pushed.data["model_id"]
    assert user.types("sync").code == 0
    base = write_base(tmp_path / "tiny.gguf")

    with ExitStack() as stack:
        first = stack.enter_context(running_llama(base))
        assert _serves(user, first) == []
        files = []
        for name, b in (("good", 0.3), ("zero", 0.0)):
            typed = user.types("load", models[name], "--to", "box", "--json")
            assert typed.code == 7, typed.err
            assert "llama-server -m" in typed.data["commands"]
            (file,) = set(re.findall(r"[\w.-]+\.gguf(?=\s+\S+\n)", typed.data["commands"]))
            files.append(write_adapter(tmp_path / file, b=b))  # what the converter writes

        again = stack.enter_context(running_llama(base, files))
        assert _serves(user, again) == [file.stem for file in files]
        good = user.types("load", models["good"], "--to", "box", "--json")
        assert good.code == 0, good.err
        assert good.data["proof"]["verdict"] == "effect"
        zero = user.types("load", models["zero"], "--to", "box", "--json")
        assert zero.code == 7, zero.err
        assert zero.data["proof"]["verdict"] == "no effect"
        assert "B is zero" in " ".join(zero.data["proof"]["reasons"])


def _serves(user: User, llama: Llama) -> list[str]:
    """Add the server, or tell of its new address; the adapters that `servers` names."""
    added = user.types("servers", "add", "box", llama.url, "--force")
    assert added.code == 0, added.err
    (listed,) = user.types("servers", "--json").data["servers"]
    assert (listed["name"], listed["kind"]) == ("box", "llama.cpp")
    return [adapter["name"] for adapter in listed["loaded"]]
