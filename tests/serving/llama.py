"""Real llama.cpp (`xllamacpp`) on a tiny random model; the fixture `llama` has two adapters."""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.serving.tiny_gguf import write_adapter, write_base

_BUILT_FOR: Final = ("x86_64", "aarch64", "arm64")  # as pyproject.toml has it


@dataclass(frozen=True)
class LlamaAdapter:
    """An adapter as the server knows it."""

    id: int
    path: Path


@dataclass(frozen=True)
class Llama:
    """A running server. `adapters` are by the names of their files, without `.gguf`."""

    url: str
    base: Path
    adapters: dict[str, LlamaAdapter]


class StartFailedError(Exception):
    """The server refused its model or an adapter; the text is what it wrote."""


@contextmanager
def running_llama(base: Path, adapters: Sequence[Path] = (), *, key: str = "") -> Iterator[Llama]:
    """Start the server, and end it. Skips the test where xllamacpp has no build for this machine.

    Raises:
        StartFailedError: it did not start.
    """
    if platform.machine() not in _BUILT_FOR:
        pytest.skip(f"xllamacpp has no build for {platform.machine()}")
    command = [sys.executable, "-m", "tests.serving.llama_process", str(base), key]
    root = Path(__file__).parents[2]
    with (
        tempfile.TemporaryFile("w+") as log,  # nobody reads a pipe while the server runs
        subprocess.Popen(
            [*command, *map(str, adapters)],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            process.communicate()
            log.seek(0)
            raise StartFailedError(log.read())
        known = {path.stem: LlamaAdapter(id, path) for id, path in enumerate(adapters)}
        try:
            yield Llama(url, base, known)
        finally:
            process.communicate()  # the end of its standard input ends it


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Llama]:
    """A server with the adapters `good` and `zero` (B is 0), both at scale 1 as after any start.

    Others use it too: a test that changes the scales for all requests sets them back.
    """
    place = tmp_path_factory.mktemp("llama")
    adapters = [write_adapter(place / "good.gguf"), write_adapter(place / "zero.gguf", b=0)]
    with running_llama(write_base(place / "base.gguf"), adapters) as server:
        yield server
