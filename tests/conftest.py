"""Fixtures for tests of several folders: a home directory, sandboxes, the command line."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from socketserver import BaseServer
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from xdist.scheduler import LoadFileScheduling

from lora_tui.cli.run import main
from lora_tui.config.load import load_profile
from lora_tui.config.table import Profile
from lora_tui.sandbox import Sandbox
from tests.certificates import certificate, trust
from tests.seeded import seed_from_copy, short_curves

__all__ = ["certificate", "trust"]  # fixtures

# no deadline: no test asserts a time
# A busy machine generates slowly.
settings.register_profile(
    "lora-tui", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("lora-tui")


# A background job of a script ignores ctrl+c, and so would the programs that tests start from it.
signal.signal(signal.SIGINT, signal.default_int_handler)

_report_error = BaseServer.handle_error


def _report_unless_disconnected(server: BaseServer, request: Any, client_address: Any) -> None:
    """A server of a test prints where its client went away, maybe into what the next test reads."""
    if not isinstance(sys.exc_info()[1], OSError):
        _report_error(server, request, client_address)


BaseServer.handle_error = _report_unless_disconnected  # type: ignore[method-assign]


def pytest_make_parametrize_id(val: object) -> str | None:
    """Show long bytes in a test's name as their number."""
    return f"{len(val)} bytes" if isinstance(val, bytes) and len(val) > 40 else None


QUICK: Final = ("unit", "cache", "sync", "tui")
"""The folders whose tests are quick unless they are marked as slow (`make quick`)."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that compare a picture. Where workers share the tests, put long files first.

    Whichever worker is the last one then has a short file to end with (`--no-loadscope-reorder`:
    xdist's own order, by the number of tests, begins a file with one long test at the very end).
    """
    for item in items:
        if "snap_compare" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.picture)
    if hasattr(config, "workerinput"):
        counts = Counter(item.path for item in items)
        quick = {Path(__file__).with_name(name) for name in QUICK}
        slow = {
            item.path
            for item in items
            if item.get_closest_marker("slow") or quick.isdisjoint(item.path.parents)
        }
        first = Path(__file__).with_name("contract")  # one worker has all of it
        items.sort(
            key=lambda item: (
                first not in item.path.parents,
                item.path not in slow,
                -counts[item.path],
                item.path,
            )
        )


class _ByFile(LoadFileScheduling):
    """A worker gets a whole file, or all files of the contract.

    Each worker that has a part of the contract starts @supabase/lite, which takes many seconds.
    """

    def _split_scope(self, nodeid: str) -> str:
        scope = super()._split_scope(nodeid)
        return "tests/contract" if scope.startswith("tests/contract/") else scope


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Share the tests by file (`make test`); other ways as xdist has them."""
    return _ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Collect garbage seldom, and never look at the modules again.

    With Python's own thresholds a fifth of the time of a test of a screen goes to the collector.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 30)


@pytest.fixture(scope="session", autouse=True)
def seeded_once() -> Iterator[None]:
    """Generate the rows of equal sandboxes once; that takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lora_tui.sandbox.server.seed_backend", seed_from_copy)
        yield


@pytest.fixture(scope="session", autouse=True)
def styles_parsed_once() -> Iterator[None]:
    """Parse the style sheets, which all applications share, once a run."""
    parse = Stylesheet._parse_rules
    parsed: dict[Any, list[RuleSet]] = {}

    def parse_once(sheet: Stylesheet, css: str, *arguments: Any, **options: Any) -> list[RuleSet]:
        key = (css, arguments, *map(frozenset, (options.items(), sheet._variables.items())))
        if key not in parsed:
            parsed[key] = parse(sheet, css, *arguments, **options)
        return parsed[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "_parse_rules", parse_once)
        yield


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory, without the settings of the developer."""
    for name in list(os.environ):
        if name.startswith(("LORA_TUI_", "SUPABASE_", "GPU_CLUSTER_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LORA_TUI_NO_KEYRING", "1")
    directory = tmp_path / "home"
    monkeypatch.setenv("LORA_TUI_HOME", str(directory))
    return directory


@pytest.fixture
def small_sandbox() -> Iterator[Sandbox]:
    """A sandbox with few rows, for one test alone."""
    with short_curves(), Sandbox.start(models=6, waiting_jobs=2) as sandbox:
        yield sandbox


@pytest.fixture
def configured(small_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The small sandbox as the project that the environment names."""
    set_environment(small_sandbox, monkeypatch)
    return small_sandbox


@pytest.fixture
def profile(configured: Sandbox) -> Profile:
    """The profile of the small sandbox."""
    return load_profile()


def set_environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `lora-tui demo --serve-only` tells another shell to export."""
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)


@dataclass(frozen=True)
class Ran:
    """What one call of the command line did."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The data of the success envelope."""
        envelope = json.loads(self.out)
        assert envelope["success"] is True
        return envelope["data"]

    @property
    def error(self) -> dict[str, str]:
        """The error envelope."""
        envelope: dict[str, str] = json.loads(self.out)
        assert "error" in envelope
        return envelope


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `lora-tui ARGUMENTS…` in this process."""

    def call(*arguments: str) -> Ran:
        capsys.readouterr()
        code = main(list(arguments))
        captured = capsys.readouterr()
        return Ran(int(code), captured.out, captured.err)

    return call
