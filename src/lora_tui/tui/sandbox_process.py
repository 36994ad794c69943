"""Runs the sandbox in a child process that ends with the demo.

Parent and child exchange one line of JSON each way, over the child's stdin and stdout. The child
ends when its stdin is closed, which also happens if the parent is killed.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

from lora_tui.errors import DiskError, LoraTuiError, UnreachableError, UsageError, missing_extra
from lora_tui.files import disk_error
from lora_tui.processes import module_command
from lora_tui.sqlite_file import ACCESS_CODES, database_error, sqlite_code

_STOP_SECONDS: Final = 10.0
_RESET: Final = "start it with `lora-tui demo --reset`, which creates its data again"
_ELSEWHERE: Final = "set LORA_TUI_HOME to another directory"
_OF_THE_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)
_ERRORS: Final[Mapping[str, type[LoraTuiError]]] = {
    kind.__name__: kind for kind in (LoraTuiError, UsageError, DiskError)
}


@contextmanager
def sandbox_process(
    directory: Path, *, models: int, hostile: bool, throttle: int
) -> Iterator[Mapping[str, str]]:
    """A sandbox beside this process, which ends with it; yields what `Sandbox.environment` gives.

    `throttle` is how many bytes a second a download gets. Raises LoraTuiError where it can't start,
    and UnreachableError afterwards where it has ended too early.
    """
    settings = {
        "directory": str(directory),
        "models": models,
        "hostile": hostile,
        "throttle": throttle,
    }
    with tempfile.TemporaryFile() as stderr:
        process = _spawn(stderr)
        try:
            environment = _started(process, settings, stderr)
            try:
                yield environment
            except UnreachableError as error:
                raise _unexpected_end(process, stderr) or error from error
            ended = _unexpected_end(process, stderr)
            if ended is not None:
                raise ended
        finally:
            _end(process)


@contextmanager
def explained(directory: Path) -> Iterator[None]:
    """Raise errors of a starting sandbox as LoraTuiError with a remedy."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise missing_extra("The demo", str(error.name), "demo") from error
    except sqlite3.Error as error:
        what = f"The demo's data in {directory} can't be used"
        if sqlite_code(error) in (sqlite3.SQLITE_FULL, *ACCESS_CODES):
            raise database_error(error, what, directory / "-", instead=_ELSEWHERE) from error
        raise DiskError(what, details=str(error), remedy=_RESET) from error
    except OSError as error:
        if error.filename is None and error.errno not in _OF_THE_DISK:  # of a socket
            raise LoraTuiError("The demo's backend can't be started", details=str(error)) from error
        what = f"The demo can't store its data in {directory}"
        raise disk_error(error, what, directory, instead=_ELSEWHERE) from error


def main() -> int:
    """The child: serve until stdin or a signal ends it. The exit code."""
    with suppress(ValueError):
        settings = json.loads(sys.stdin.buffer.readline())
        return _serve(settings)
    print("this is started by `lora-tui demo`", file=sys.stderr)
    return UsageError.exit_code


def _spawn(stderr: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - this interpreter, and our own module
            module_command(__spec__.name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,  # Ctrl+C and a hangup are for the application
        )
    except OSError as error:
        raise LoraTuiError("The demo's backend can't be started", details=error.strerror) from error


def _started(
    process: subprocess.Popen[bytes], settings: Mapping[str, Any], stderr: IO[bytes]
) -> dict[str, str]:
    """The child's environment for clients, once it serves. Raises LoraTuiError."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.write(json.dumps(settings).encode() + b"\n")
        process.stdin.flush()
    for line in process.stdout:
        with suppress(ValueError):  # another module of this Python may print something first
            return _environment(json.loads(line))
    process.wait()
    raise LoraTuiError(
        "The demo's backend did not start", details=_end_reason(process, stderr), remedy=_RESET
    )


def _environment(answer: Mapping[str, Any]) -> dict[str, str]:
    if "error" in answer:
        kind = _ERRORS.get(answer["kind"], LoraTuiError)
        raise kind(answer["error"], details=answer["details"], remedy=answer["remedy"])
    environment: dict[str, str] = answer["environment"]
    return environment


def _unexpected_end(process: subprocess.Popen[bytes], stderr: IO[bytes]) -> UnreachableError | None:
    """The error if the child has ended without being asked to, else None."""
    if process.poll() is None:
        return None
    return UnreachableError(
        "The demo's backend has ended before the demo",
        details=_end_reason(process, stderr),
        remedy="start the demo again",
    )


def _end_reason(process: subprocess.Popen[bytes], stderr: IO[bytes]) -> str:
    """Why the child ended: the last line of its stderr, else its exit code."""
    stderr.seek(0)
    lines = stderr.read().decode(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    if said:
        return said[-1]
    code = process.returncode
    if code is not None and code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"exit code {code}"


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(OSError):
        process.stdin.close()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


def _serve(settings: Mapping[str, Any]) -> int:
    ended = threading.Event()
    started = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())

    def watch() -> None:
        while os.read(0, 4096):
            pass
        if not started.is_set():
            os._exit(0)  # the parent is gone: no need to finish the data
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    directory = Path(settings["directory"])
    try:
        with explained(directory):
            from lora_tui.sandbox import Sandbox

            sandbox = Sandbox.start(
                directory,
                models=settings["models"],
                hostile=settings["hostile"],
                training=True,
                serving=True,
            )
    except LoraTuiError as error:
        _answer(
            error=str(error), kind=type(error).__name__, details=error.details, remedy=error.remedy
        )
        return error.exit_code
    with sandbox:
        started.set()
        sandbox.faults(path="/storage/v1/object/sign", throttle=settings["throttle"])
        _answer(environment=sandbox.environment())
        ended.wait()
    return 0


def _answer(**fields: Any) -> None:
    with suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
