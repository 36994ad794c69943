"""Runs one command: its arguments, its exit code, and its error as one line or as JSON.

Imports nothing heavy at module level: `lora-tui list` must not load Textual or httpx.
"""

from __future__ import annotations

import codecs
import errno
import gc
import io
import os
import sys
from collections.abc import Sequence
from types import SimpleNamespace

from lora_tui import clock
from lora_tui.cli.call import APPLICATION, application_call
from lora_tui.errors import ConditionError, DamagedCacheError, ExitCode, LoraTuiError, UsageError

_NO_ROOM = (errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT)
_WIDTH_OF_FILES = 80
"""Cells of a line on stderr that is no terminal."""
_QUICK = ("list:list_models", "show:show_model")
"""Commands that need neither the logger nor garbage collection, each a twentieth of their time."""

_COLLECTING_LATER = (*_QUICK, APPLICATION)
"""Commands that collect garbage never, or when they think it right; the application after its
first frame. What a start makes stays, so that collections meanwhile only delay it."""

_CHANGING = ("download:download_model", "sync:sync_cache", "harvest:retry", "push:push")
"""Commands that have not finished their work if the reader of their output ends early."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code for the shell."""
    if argv is None and sys.getfilesystemencoding() != "utf-8":
        _restart_in_utf8()
    _reopen_closed_streams()
    _replace_unencodable_characters()
    words = [_decoded(word) for word in (sys.argv[1:] if argv is None else argv)]
    if words[:1] == ["__complete"] and len(words) > 1:
        from lora_tui.cli.completion import print_candidates

        print_candidates(words[1], words[2:])
        return ExitCode.OK
    code: int = ExitCode.OK
    try:
        code = _run_and_report(words)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout.fileno())  # the reader (`head`, a pager) has ended
    except OSError as error:
        _discard(sys.stdout.fileno())
        try:
            reason = error.strerror or type(error).__name__
            print(f"lora-tui: The output can't be written: {reason}.", file=sys.stderr)
        except OSError:  # stderr can't be written either
            pass
        return ExitCode.UNEXPECTED
    try:
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr.fileno())
    if argv is None:
        gc.freeze()  # else Python walks through all objects once more before it ends
    return code


def _run_and_report(words: Sequence[str]) -> int:
    """Run one command and print its error. Returns the exit code.

    Raises OSError if stdout can't be written.
    """
    json_wanted = "--json" in words
    verbosity, command = 0, ""
    profile: str | None = None
    gc.disable()
    try:
        arguments = _parse(words)
        command = arguments.run
        json_wanted, verbosity = arguments.json, arguments.verbose
        profile = arguments.profile
        clock.use_utc(arguments.utc)
        if arguments.run not in _QUICK or verbosity:
            _log_to_stderr(verbosity)
        return _run(arguments)
    except SystemExit:  # of --help and --version
        sys.stdout.flush()
        raise
    except LoraTuiError as error:
        return _report(error, json_wanted=json_wanted, profile=profile)
    except KeyboardInterrupt:
        _say("Interrupted.")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        if command in _CHANGING:
            _discard(sys.stdout.fileno())
            return ExitCode.UNEXPECTED
        raise
    except Exception as error:
        if isinstance(error, UnicodeEncodeError) and not "".join(words).isprintable():
            refused = UsageError("An argument is not valid text", remedy="type it in UTF-8")
            return _report(refused, json_wanted=json_wanted)
        if isinstance(error, OSError) and error.errno in _NO_ROOM and error.filename is None:
            raise  # a command explains what it writes to files; this was stdout
        if verbosity:
            from lora_tui.engine.logs import print_traceback

            print_traceback(error)
            return ExitCode.UNEXPECTED
        if isinstance(error, OSError) and error.filename is not None:
            from lora_tui.files import disk_error

            failure = disk_error(error, "A file or directory can't be used")
            return _report(failure, json_wanted=json_wanted)
        from lora_tui.engine.unexpected_errors import unexpected

        remedy = "run it again with -v, and report what it prints"
        return _report(unexpected(error, remedy=remedy), json_wanted=json_wanted)
    finally:
        gc.enable()


def _restart_in_utf8() -> None:
    """Restart Python in UTF-8 mode, so that names of files are UTF-8 whatever the locale.

    Output keeps the encoding of the terminal. If Python can't be restarted, this process continues.
    """
    if sys.flags.utf8_mode or not sys.executable:
        return
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    environment = {"PYTHONIOENCODING": encoding, **os.environ}
    words = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
    try:
        os.execve(sys.executable, words, environment)  # noqa: S606 - this very program
    except OSError:
        return


def _replace_unencodable_characters() -> None:
    """Write ASCII for characters that the output's encoding lacks, so that no write fails."""

    def substitute(error: UnicodeError) -> tuple[str, int]:
        from lora_tui.commands.output import substitute

        return substitute(error)

    codecs.register_error("lora-tui", substitute)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="lora-tui")


def _decoded(word: str) -> str:
    """Decode an argument that was typed in the terminal's encoding, if that is not UTF-8."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        if any("\ud800" <= character <= "\udfff" for character in word):
            return os.fsencode(word).decode(encoding)
    except (UnicodeError, LookupError):
        pass  # the name of a file in an unknown encoding
    return word


def _discard(descriptor: int) -> None:
    """Discard the rest of an output, so that Python does not write it when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _log_to_stderr(verbosity: int) -> None:
    import logging
    import threading

    from lora_tui.engine.logs import log_to_stderr, print_thread_traceback

    log_to_stderr((logging.WARNING, logging.INFO, logging.DEBUG)[min(2, verbosity)])
    threading.excepthook = print_thread_traceback


def _reopen_closed_streams() -> None:
    """Open /dev/null for streams that `>&-` closed; Python has None for them."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - open until the process ends
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115, PTH123


def _parse(words: Sequence[str]) -> SimpleNamespace:
    """The call that the words mean. Raises UsageError."""
    if not words:
        return application_call()
    from lora_tui.cli.grammar import parse

    return parse(words)


def _run(arguments: SimpleNamespace) -> ExitCode:
    """Call the function of a command. Returns its exit code."""
    import importlib

    from lora_tui.commands.context import Context

    module, function = arguments.run.split(":")
    context = Context(arguments)
    command = getattr(importlib.import_module(f"lora_tui.commands.{module}"), function)
    if arguments.run not in _COLLECTING_LATER:
        gc.enable()

    def run() -> ExitCode:
        try:
            return command(context) or ExitCode.OK
        except DamagedCacheError:
            fills_it = arguments.run == "sync:sync_cache"
            context.replace_damaged_cache(then=None if fills_it else "run `lora-tui sync`")
            return command(context) or ExitCode.OK

    if sys.stdout.isatty() and arguments.run != APPLICATION:
        from lora_tui.commands.pager import pages, run_paged

        if pages(arguments):
            return run_paged(context, run)
    return run()


def _report(error: LoraTuiError, *, json_wanted: bool, profile: str | None = None) -> int:
    """Print an error as one line on stderr, or with --json as a document on stdout.

    `profile`: the value of `--profile`, which the commands of the remedy need too.
    """
    remedy = f"{error.remedy[0].upper()}{error.remedy[1:]}." if error.remedy else ""
    if profile and remedy:
        from lora_tui.text import with_profile

        remedy = with_profile(remedy, profile)
    if json_wanted:
        from lora_tui.json_values import json_text

        # the envelope of the web application has no third key, so `details` ends with the remedy
        details = f"{error.details}. {remedy}".rstrip() if error.details else remedy
        print(json_text({"error": str(error), "details": details}))
        return error.exit_code
    from lora_tui.text import terminal_safe

    parts = [f"lora-tui: {error}"]
    if error.details:
        parts.append(f" ({error.details})")
    if remedy:
        parts.append(f". {remedy}")
    # it may quote a file or an argument
    _say(terminal_safe("".join(parts), limit=4_000))
    if isinstance(error, ConditionError):
        import shutil

        from lora_tui.cache.condition_tokens import pointing_lines
        from lora_tui.secret import without_held

        width = shutil.get_terminal_size().columns if sys.stderr.isatty() else _WIDTH_OF_FILES
        encoding = sys.stderr.encoding or "utf-8"  # one `?` for each character that it lacks
        error.condition = error.condition.encode(encoding, "replace").decode(encoding)
        for line in pointing_lines(error, width - 2):  # its spaces point at the word
            _say(f"  {without_held(line)}")
    return error.exit_code


def _say(line: str) -> None:
    """Print a line on stderr, if that can be written; the exit code tells the caller anyway."""
    try:  # noqa: SIM105 - `list` must not pay for contextlib
        print(line, file=sys.stderr)
    except OSError:  # the terminal is gone, the disk is full
        pass
