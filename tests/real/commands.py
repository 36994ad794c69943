"""Runs commands of `lora-tui` as a user types them, in an empty home, and keeps what they say."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lora_tui.cli.run import main


@dataclass(frozen=True)
class Typed:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The data of the success envelope."""
        envelope = json.loads(self.out)
        assert envelope["success"] is True, self.err
        return envelope["data"]


@dataclass(frozen=True)
class User:
    """A home directory, and the project that the environment names."""

    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def types(self, *words: str | Path) -> Typed:
        """Run `lora-tui WORDS…`, by what the program itself calls; hundreds run in a minute so."""
        out, err = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            for name in list(os.environ):
                if name.startswith(("LORA_TUI_", "SUPABASE_", "GPU_CLUSTER_")):
                    patch.delenv(name)
            patch.setenv("LORA_TUI_HOME", str(self.home))
            patch.setenv("LORA_TUI_NO_KEYRING", "1")
            for name, value in self.environment.items():
                patch.setenv(name, value)
            code = main([str(word) for word in words])
        return Typed(int(code), out.getvalue(), err.getvalue())

    def dataset(self) -> str:
        """The id of one of the user's datasets, after a sync."""
        assert self.types("sync").code == 0
        models = self.types("list", "--json").data["models"]
        return str(next(model["dataset_id"] for model in models))


@dataclass(frozen=True)
class Journey:
    """What became of the adapters on their way to a project and back, by name."""

    pushed: Mapping[str, Typed]
    downloaded: Mapping[str, Typed]
    place: Path
    """One directory for each adapter that came back."""
