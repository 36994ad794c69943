"""The real engine process: it starts, works beside the application, and never outlives it.

Tests that leave the engine as it is share one. What needs no process is in test_process.py
(requests in flight, other versions), test_protocol.py (errors) and test_writers.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from typing import NamedTuple

import pytest

from lora_tui.account.login import sign_in
from lora_tui.account.sessions import cache_owner
from lora_tui.app import LoraTuiApp
from lora_tui.cache.connection import open_cache
from lora_tui.config.load import load_profile
from lora_tui.config.table import Profile
from lora_tui.engine import protocol
from lora_tui.engine.__main__ import NICE
from lora_tui.engine.logs import MOST_BYTES, engine_log
from lora_tui.engine.process import start_process
from lora_tui.engine.protocol import Hello, Ready, encode, read_message
from lora_tui.engine.requests import open_requests
from lora_tui.engine.writers import Writers
from lora_tui.errors import (
    EngineEndedError,
    UnreachableError,
)
from lora_tui.sandbox import Sandbox
from tests import running_processes
from tests.conftest import set_environment
from tests.engine.in_process import in_process_writers
from tests.running_processes import environment_of, is_running
from tests.seeded import short_curves
from tests.tui.conftest import screen_text, until

pytestmark = pytest.mark.slow

SIZE = (100, 30)


class Shared(NamedTuple):
    """An engine that several tests look at."""

    pid: int
    profile: Profile
    writers: Writers


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """An engine that has synced, and whose log was too long when it started."""
    with short_curves(), Sandbox.start(models=6, waiting_jobs=2) as sandbox, ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LORA_TUI_NO_KEYRING", "1")
            patch.setenv("LORA_TUI_HOME", str(tmp_path_factory.mktemp("home")))
            set_environment(sandbox, patch)
            profile = load_profile()
            log = engine_log(profile.paths.state_dir)
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_bytes(b"x" * (MOST_BYTES + 1))
            writers = stack.enter_context(started(profile))
            writers.sync()
            [pid] = engines_of(os.getpid())
        yield Shared(pid, profile, writers)


@contextmanager
def started(profile: Profile) -> Iterator[Writers]:
    """Writers with a real engine."""
    owner = cache_owner(profile, sign_in(profile).user_id)
    open_cache(profile.cache_path(owner.user_id), owner).close()
    with closing(Writers.for_profile(profile, owner, profile.paths)) as writers:
        yield writers


def engines_of(process: int) -> list[int]:
    """The running engines that this process has started in the home directory of this test."""
    home = f"LORA_TUI_HOME={os.environ['LORA_TUI_HOME']}".encode()
    return [pid for pid in running_processes.engines_of(process) if home in environment_of(pid)]


def wait_until(condition: Callable[[], object]) -> None:
    """The test's time-out is the limit."""
    pause = Flag()
    while not condition():
        pause.wait(0.02)


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


def test_the_engine_is_a_process_below_the_application_in_a_session_of_its_own(
    shared: Shared,
) -> None:
    engine, profile, _ = shared
    assert os.getsid(engine) == engine
    ours, lowest = os.getpriority(os.PRIO_PROCESS, 0), 19
    assert os.getpriority(os.PRIO_PROCESS, engine) == min(lowest, ours + NICE)
    with suppress(FileNotFoundError):  # systems that rank sessions before processes
        group = Path(f"/proc/{engine}/autogroup").read_text()
        assert group.split()[-1] == str(NICE)
    assert Path(f"/proc/{engine}/fd/0").readlink() == Path(os.devnull)
    for number in (1, 2):
        log = Path(f"/proc/{engine}/fd/{number}").readlink()
        assert log == engine_log(profile.paths.state_dir)
    words = Path(f"/proc/{engine}/cmdline").read_bytes().split(b"\0")
    assert words[1:6] == [b"-X", b"utf8", b"-P", b"-m", b"lora_tui.engine"]


def test_no_secret_is_in_the_command_line_or_the_log_of_the_engine(
    shared: Shared,
) -> None:
    engine, profile, _ = shared
    words = Path(f"/proc/{engine}/cmdline").read_text()
    log = engine_log(profile.paths.state_dir).read_text()
    assert profile.password is not None
    session = sign_in(profile)
    for secret in (profile.password, session.access_token, session.refresh_token):
        assert secret.reveal() not in words
        assert secret.reveal() not in log


def test_a_long_log_begins_anew_and_the_former_is_kept_once(
    shared: Shared,
) -> None:
    _, profile, _ = shared
    log = engine_log(profile.paths.state_dir)
    assert log.with_name(f"{log.name}.1").stat().st_size == MOST_BYTES + 1
    assert log.stat().st_size < MOST_BYTES
    assert log.stat().st_mode & 0o777 == 0o600


async def test_the_application_syncs_by_its_engine_and_quits_without_an_orphan(
    profile: Profile,
) -> None:
    with started(profile) as writers:
        app = application(profile, writers)
        async with app.run_test(size=SIZE) as pilot:
            await until(pilot, lambda: "online" in screen_text(app))
            [engine] = engines_of(os.getpid())
    assert not is_running(engine)


async def test_an_engine_that_was_killed_is_started_again_and_the_application_goes_on(
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


async def test_an_engine_that_keeps_dying_is_given_up_with_a_banner_and_r_tries_again(
    profile: Profile,
) -> None:
    with started(profile) as writers:
        app = application(profile, writers)
        async with app.run_test(size=SIZE) as pilot:
            await until(pilot, lambda: "online" in screen_text(app))
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


def test_the_engine_ends_with_an_application_that_was_killed(profile: Profile) -> None:
    owner = cache_owner(profile, sign_in(profile).user_id)
    open_cache(profile.cache_path(owner.user_id), owner).close()
    code = (
        "import sys\n"
        "from lora_tui.cache.metadata import Owner\n"
        "from lora_tui.config.load import load_profile\n"
        "from lora_tui.engine.writers import Writers\n"
        "profile = load_profile()\n"
        f"writers = Writers.for_profile(profile, Owner{tuple(owner)!r}, profile.paths)\n"
        "writers.check_downloads()\n"
        "print('up', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        [engine] = engines_of(process.pid)
        process.kill()
    wait_until(lambda: not is_running(engine))


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


def test_without_a_log_file_the_engine_works(profile: Profile) -> None:
    log = engine_log(profile.paths.state_dir)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.mkdir()
    with started(profile) as writers:
        writers.check_downloads()


def test_an_engine_that_hangs_at_the_end_is_ended(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_tui.engine.process.CLOSE_SECONDS", 0.2)
    monkeypatch.setattr("lora_tui.engine.process.TERM_SECONDS", 0.2)
    with started(profile) as writers:
        writers.check_downloads()
        [engine] = engines_of(os.getpid())
        os.kill(engine, signal.SIGSTOP)
    assert not is_running(engine)


def test_an_engine_started_by_hand_says_who_starts_it() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "lora_tui.engine"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert ran.stderr == "this is started by `lora-tui`\n"


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


def test_names_of_files_are_utf_8_in_a_locale_without_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LC_ALL", "C"), ("PYTHONUTF8", "0"), ("PYTHONCOERCECLOCALE", "0")):
        monkeypatch.setenv(name, value)
    file, log = tmp_path / "modèle.toml", home / "state" / "engine.log"
    file.write_text('[profiles.default]\nurl = "http://127.0.0.1:9"\nanon_key = "anon"\n')
    channel = start_process(log)
    with closing(channel.requests), closing(channel.answers):
        channel.requests.write(encode(Hello(None, file, offline=True, owner=None)))
        channel.requests.flush()
        assert isinstance(read_message(channel.answers), Ready)
        channel.requests.close()
        channel.end(20.0)
    assert log.read_text() == ""


def test_the_build_names_the_installed_files() -> None:
    assert protocol.BUILD.startswith(f"{protocol.__version__}-")
    assert replace(protocol.Ready(1), build="x").build == "x"
