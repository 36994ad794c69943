"""Snippets for other programs: what is in them arrives there unchanged, and nothing else runs."""

from __future__ import annotations

import ast
import json
import os
import shlex
import subprocess
from pathlib import PurePosixPath

import pytest

from lora_tui.adapters.snippets import (
    PLACEHOLDER_BASE,
    PLACEHOLDER_DIRECTORY,
    ServedAdapter,
    snippet,
)
from lora_tui.errors import UsageError

PROGRAMS = ("vllm", "peft", "llama.cpp", "ollama")
HOSTILE_PLACES = ["/a b/$(touch x)", "/a'; rm -rf ~ #", '/a"b`id`', "/a\\", "/ünï=x,y"]
HOSTILE_BASES = ["--trust-remote-code", "a/b; id", "$(id)", "../../x", "a/b\nEOF", "a'/b", ""]


def served(
    place: str | None = "/adapters/one", base: str = "org/base", rank: int = 16
) -> ServedAdapter:
    return ServedAdapter("my-model", PurePosixPath(place) if place else None, base, rank)


def words(text: str) -> list[str]:
    return shlex.split(text.replace("\\\n", " "), comments=True)


def test_the_vllm_snippet_has_base_model_adapter_and_rank() -> None:
    assert words(snippet(served(rank=24), "vllm")) == [
        "vllm", "serve", "org/base", "--enable-lora", "--max-lora-rank", "32",
        "--lora-modules", "my-model=/adapters/one",
    ]  # fmt: skip
    with pytest.raises(UsageError):
        snippet(served(rank=1024), "vllm")


@pytest.mark.parametrize("place", HOSTILE_PLACES)
def test_a_hostile_directory_is_quoted_for_the_shell(place: str) -> None:
    module = words(snippet(served(place), "vllm"))[-1]
    if module.startswith("{"):
        assert json.loads(module) == {"name": "my-model", "path": place}
    else:
        assert module == f"my-model={place}"
    llama = words(snippet(served(place), "llama.cpp"))
    assert place in llama
    # a comma separates files in --lora
    assert llama[-1] == ("my-model.gguf" if "," in place else f"{place}/my-model.gguf")


@pytest.mark.parametrize("place", HOSTILE_PLACES)
def test_a_hostile_directory_is_quoted_for_python(place: str) -> None:
    tree = ast.parse(snippet(served(place), "peft"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert place in texts
    assert texts.count("org/base") == 2


@pytest.mark.parametrize("place", ["/a\nb", "/a\x1b[31mb", "/caf\udce9", "/it's\tb"])
def test_a_path_that_no_terminal_should_print_reaches_the_program_unchanged(place: str) -> None:
    for program in ("vllm", "llama.cpp"):
        text = snippet(served(place), program)
        assert text.replace("\n", "").isprintable()
        # bash understands $'…', which shlex does not
        word = next(line for line in text.splitlines() if "$'" in line).partition("$'")[2]
        ran = subprocess.run(
            ["bash", "-c", f"printf %s $'{word.rpartition(chr(39))[0]}'"], capture_output=True
        )
        assert os.fsencode(place) in ran.stdout
    tree = ast.parse(snippet(served(place), "peft"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert place in texts


def test_a_modelfile_names_the_directory_or_is_refused() -> None:
    assert snippet(served("/a b"), "ollama").endswith('ADAPTER "/a b"\n')
    for place in ('/a"b', "/a\nSYSTEM evil"):
        with pytest.raises(UsageError):
            snippet(served(place), "ollama")


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("base", HOSTILE_BASES)
def test_an_unsafe_base_model_is_replaced_by_a_placeholder(program: str, base: str) -> None:
    text = snippet(served(base=base), program)
    assert PLACEHOLDER_BASE in text
    assert not base or base not in text


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_placeholder_stands_for_a_missing_directory(program: str) -> None:
    assert PLACEHOLDER_DIRECTORY in snippet(served(None), program)
