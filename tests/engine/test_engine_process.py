"""The real engine process: it starts, works beside the application, and never outlives it.

A start costs more than what is looked at, so a test here has all facts of one run. What needs no
process is in test_process.py (requests in flight, other versions), test_protocol.py (errors) and
test_writers.py; an application that is killed is in tests/tui/test_demo_process.py.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from lora_tui.account.login import sign_in
from lora_tui.account.sessions import cache_owner
from lora_tui.app import LoraTuiApp
from lora_tui.cache.connection import open_cache
from lora_tui.config.load import load_profile
from lora_tui.config.table import Profile
from lora_tui.engine import protocol
from lora_tui.engine.__main__ import NICE, main
from lora_tui.engine.logs import MOST_BYTES, engine_log
from lora_tui.engine.process import start_process
from lora_tui.engine.protocol import Hello, read_message
from lora_tui.engine.requests import open_requests
from lora_tui.engine.writers import Writers
from lora_tui.errors import (
    EngineEndedError,
    UnreachableError,
    UsageError,
)
from lora_tui.sandbox import Sandbox
from tests import running_processes
from tests.engine.in_process import in_process_writers
from tests.running_processes import environment_of, is_running
from tests.tui.conftest import screen_text, until

pytestmark = pytest.mark.slow

SIZE = (100, 30)


@contextmanager
def started(profile: Profile, config_file: Path | None = None) -> Iterator[Writers]:
    """Writers with a real engine."""
    owner = cache_owner(profile, sign_in(profile).user_id)
    open_cache(profile.cache_path(owner.user_id), owner).close()
    made = Writers.for_profile(profile, owner, profile.paths, config_file=config_file)
    with closing(made) as writers:
        yield writers


def engines_of(process: int) -> list[int]:
    """The running engines that this process has started in the home directory of this test."""
    home = f"LORA_TUI_HOME={os.environ['LORA_TUI_HOME']}".encode()
    return [pid for pid in running_processes.engines_of(process) if home in environment_of(pid)]


def application(profile: Profile, writers: Writers) -> LoraTuiApp:
    user_id = sign_in(profile).user_id
    app = LoraTuiApp(
        profile.cache_path(user_id),
        writers,
        profile="test",
        owner=cache_owner(profile, user_id),
    )
    app.animation_level = "none"
    return app


def test_the_engine_is_a_process_below_with_its_own_log_no_secret_in_either_and_it_ends_in_order(
    configured: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LC_ALL", "C"), ("PYTHONUTF8", "0"), ("PYTHONCOERCECLOCALE", "0")):
        monkeypatch.setenv(name, value)
    file = tmp_path / "modèle.toml"  # a name in UTF-8, and a locale for the engine without it
    file.write_text("[profiles.default]\n")
    profile = load_profile(config_file=file)
    log = engine_log(profile.paths.state_dir)
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * (MOST_BYTES + 1))
    with started(profile, file) as writers:
        writers.sync()
        [engine] = engines_of(os.getpid())
        check_rank_and_streams(engine, log)
        check_command_line(engine, profile)
    assert not is_running(engine)
    assert log.read_text() == ""  # so no secret either; the former log is kept once
    assert log.stat().st_mode & 0o777 == 0o600
    assert log.with_name(f"{log.name}.1").stat().st_size == MOST_BYTES + 1


def check_rank_and_streams(engine: int, log: Path) -> None:
    """A session of its own, a rank below ours, and nothing of the terminal."""
    assert os.getsid(engine) == engine
    ours, lowest = os.getpriority(os.PRIO_PROCESS, 0), 19
    assert os.getpriority(os.PRIO_PROCESS, engine) == min(lowest, ours + NICE)
    with suppress(FileNotFoundError):  # systems that rank sessions before processes
        group = Path(f"/proc/{engine}/autogroup").read_text()
        assert group.split()[-1] == str(NICE)
    assert Path(f"/proc/{engine}/fd/0").readlink() == Path(os.devnull)
    for number in (1, 2):
        assert Path(f"/proc/{engine}/fd/{number}").readlink() == log


def check_command_line(engine: int, profile: Profile) -> None:
    """It starts our module safely, and everybody may read it: no secret is there."""
    line = Path(f"/proc/{engine}/cmdline").read_bytes()
    assert line.split(b"\0")[1:6] == [b"-X", b"utf8", b"-P", b"-m", b"lora_tui.engine"]
    assert profile.password is not None
    session = sign_in(profile)
    for secret in (profile.password, session.access_token, session.refresh_token):
        assert secret.reveal().encode() not in line


async def test_an_engine_that_was_killed_is_started_again_until_it_keeps_dying_and_then_by_r(
    profile: Profile, configured: Sandbox
) -> None:
    with started(profile) as writers:
        app = application(profile, writers)
        async with app.run_test(size=SIZE) as pilot:
            await until(pilot, lambda: "online" in screen_text(app))
            [engine] = engines_of(os.getpid())
            os.kill(engine, signal.SIGKILL)
            await until(pilot, lambda: writers.report.restarts == 1)
            await until(pilot, lambda: engines_of(os.getpid()) not in ([], [engine]))
            asked = len(configured.requests())
            await pilot.press("r")
            await until(pilot, lambda: len(configured.requests()) > asked)
            assert app.is_running
            while writers.report.error is None:
                for engine in engines_of(os.getpid()):
                    with suppress(ProcessLookupError):
                        os.kill(engine, signal.SIGKILL)
                await pilot.pause(0.02)
            await until(pilot, lambda: "The engine does not run" in screen_text(app))
            assert "r retries" in screen_text(app)
            assert "not syncing" in screen_text(app)
            await pilot.press("r")
            await until(pilot, lambda: writers.report.error is None)
            await until(pilot, lambda: "The engine does not run" not in screen_text(app))
            await until(pilot, lambda: bool(engines_of(os.getpid())))
    assert not engines_of(os.getpid())  # the application quits without an orphan


def test_offline_the_engine_works_without_the_network(profile: Profile) -> None:
    owner = cache_owner(profile, sign_in(profile).user_id)
    open_cache(profile.cache_path(owner.user_id), owner).close()
    hello = Hello(None, None, offline=True, owner=owner)
    with closing(in_process_writers(open_requests, hello)) as writers:
        with pytest.raises(UnreachableError, match="--offline"):
            writers.sync()
        writers.check_downloads()


def test_a_python_that_can_not_start_is_one_sentence(
    profile: Profile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with started(profile) as writers, pytest.raises(EngineEndedError) as found:
        writers.check_downloads()
    assert str(found.value) == "The engine can't be started"
    assert found.value.remedy


def test_an_engine_works_without_a_log_file_and_is_ended_though_it_hangs(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_tui.engine.process.CLOSE_SECONDS", 0.2)
    monkeypatch.setattr("lora_tui.engine.process.TERM_SECONDS", 0.2)
    engine_log(profile.paths.state_dir).mkdir(parents=True)  # a directory in its place
    with started(profile) as writers:
        writers.check_downloads()
        [engine] = engines_of(os.getpid())
        os.kill(engine, signal.SIGSTOP)
    assert not is_running(engine)


def test_an_engine_started_by_hand_says_who_starts_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == UsageError.exit_code
    assert capsys.readouterr().err == "this is started by `lora-tui`\n"


def test_nonsense_from_an_application_ends_the_engine_with_a_word_in_the_log(
    home: Path,
) -> None:
    log = home / "state" / "engine.log"
    channel = start_process(log)
    with closing(channel.requests), closing(channel.answers):
        channel.requests.write(b"a password perhaps\n")
        channel.requests.flush()
        assert read_message(channel.answers) is None
        channel.end(20.0)
    assert "EngineEndedError" in log.read_text()
    assert "password" not in log.read_text()


def test_the_build_names_the_installed_files() -> None:
    assert protocol.BUILD.startswith(f"{protocol.__version__}-")
    assert replace(protocol.Ready(1), build="x").build == "x"
