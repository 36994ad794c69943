"""Writes and runs the script that fetches a version of a model on the server's own machine.

It is POSIX sh. Its links expire and reach the other machine on the shell's stdin, not as arguments,
where every user of it could read them. It fetches into `NAME.part`, checks sizes and SHA-256, and
renames; what was fetched is kept for the next run, and a directory that is there is never changed.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Final, NamedTuple

from lora_tui import formats
from lora_tui.adapters.config import CONFIG
from lora_tui.errors import (
    BackendError,
    ConfigError,
    DiskError,
    ExpiredLinkError,
    IntegrityError,
    LoraTuiError,
    UnreachableError,
    UsageError,
)
from lora_tui.processes import plain_environment
from lora_tui.secret import Secret
from lora_tui.text import terminal_safe, without_secrets

_LINK: Final = re.compile(r"https?://[!#-\[\]-~]+", re.ASCII)
"""No space, quote or backslash: it stands in a here-document, and in quotes in curl's options."""
_DONE: Final = "lora-tui: done"
_FAILED: Final = "lora-tui: failed: "
_MOST_LINES: Final = 10_000
_MOST_SIGNS: Final = 400
_REACHES_SSH: Final = ("SSH_AUTH_SOCK", "SSH_AGENT_PID", "SSH_ASKPASS", "KRB5CCNAME", "TERM")


class ScriptFile(NamedTuple):
    """A file that the script fetches."""

    name: str
    """A safe file name: see filenames.py."""
    size: int
    """Bytes."""
    sha256: str
    link: Secret


def delivery_script(
    directory: str, name: str, files: Sequence[ScriptFile], *, expires: str
) -> Secret:
    """The script; a secret, because whoever has its links can read the files.

    `directory` is absolute on the server's machine, `name` that of the version. `expires`: when the
    links do, in words. Raises UsageError for a directory that can't be used, BackendError for a
    link that can't be written down.
    """
    _check_directory(directory)
    # vLLM may serve any folder with a configuration: it comes last, when the weights are there
    ordered = sorted(files, key=lambda file: (file.name == CONFIG, file.name))
    links = "\n".join(_link_function(number, file) for number, file in enumerate(ordered, 1))
    steps = "\n".join(
        f'  "$1" {number} {shlex.quote(f"./{file.name}")} {file.size} {shlex.quote(file.sha256)}'
        for number, file in enumerate(ordered, 1)
    )
    total = sum(file.size for file in ordered)
    words = {
        "EXPIRES": expires,
        "DIRECTORY": shlex.quote(directory.rstrip("/") or "/"),
        "NAME": shlex.quote(name),
        "COUNT": str(len(ordered)),
        "KIBIBYTES": str(-(-total // 1024)),
        "LINKS": links,
        "STEPS": steps,
    }
    return Secret(re.sub(r"@([A-Z]+)@", lambda found: words[found[1]], _SCRIPT))


def shell_command(via: str) -> list[str]:
    """The words that run a script from stdin on the server's machine. Raises ConfigError."""
    try:
        words = shlex.split(via)
    except ValueError as error:
        raise ConfigError(
            "`via` of the server is not a command line", details=str(error), remedy="close quotes"
        ) from None
    if not words:
        raise ConfigError("`via` of the server is empty", remedy="write it like ssh gpu-1")
    return [*words, "sh", "-s"]


def run_script(
    via: str,
    script: Secret,
    say: Callable[[str], None],
    *,
    has_terminal: bool,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Run it on the server's machine, and `say` its lines of progress.

    Without `has_terminal` the command can't ask for a password. Raises UsageError where the command
    can't be started, UnreachableError where it ends without the script's last line, and what the
    script found: ExpiredLinkError, IntegrityError, DiskError.
    """
    words = shell_command(via)
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own words, shown and confirmed before
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=plain_environment(environment, *_REACHES_SSH),
            start_new_session=not has_terminal,
        )
    except OSError as error:
        raise UsageError(
            "The command that reaches the server's machine can't be started",
            details=f"{terminal_safe(words[0], limit=100)}: {error.strerror}",
            remedy="correct `via` of the server",
        ) from None
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    errors: list[str] = []
    feeder = threading.Thread(target=_feed, args=(process.stdin, script), daemon=True)
    listener = threading.Thread(target=_listen, args=(process.stderr, errors.append), daemon=True)
    feeder.start()
    listener.start()
    told: list[str] = []

    def take(line: str) -> None:
        told.append(line)
        if line.startswith("lora-tui: ") and line != _DONE and not line.startswith(_FAILED):
            say(line.removeprefix("lora-tui: "))

    try:
        _listen(process.stdout, take)
        code = process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        feeder.join(timeout=5.0)
        listener.join(timeout=5.0)
        for stream in (process.stdout, process.stderr):
            stream.close()
    if code == 0 and told[-1:] == [_DONE]:
        return
    raise _failure(code, told, errors)


def _failure(code: int, told: Sequence[str], errors: Sequence[str]) -> LoraTuiError:
    reason = next((line for line in reversed(told) if line.startswith(_FAILED)), "")
    last = "; ".join(errors[-3:]) or None
    if not reason:
        return UnreachableError(
            "The delivery on the server's machine ended before it was finished",
            details=f"exit code {code}" + (f": {last}" if last else ""),
            remedy="look at what the command says, then try again: what was fetched is kept",
        )
    kind, remedy = _KINDS.get(code, (BackendError, "try again: what was fetched is kept"))
    sentence = reason.removeprefix(_FAILED)
    return kind(f"The delivery failed: {sentence}", details=last, remedy=remedy)


_KINDS: Final[Mapping[int, tuple[type[LoraTuiError], str]]] = {
    3: (UsageError, "install it on the server's machine"),
    4: (DiskError, "look at that directory on the server's machine, then try again"),
    5: (UnreachableError, "try again: what was fetched is kept"),
    6: (IntegrityError, "try again; if it fails again, the stored artifact is damaged"),
    7: (ExpiredLinkError, "try again: new links are made, and what was fetched is kept"),
}
"""Exit code of the script → the error, and what to do."""


def _check_directory(directory: str) -> None:
    plain = directory.isprintable() and not any("\ud800" <= sign < "\ue000" for sign in directory)
    if not directory.startswith("/") or not plain or "/../" in f"{directory}/":
        raise UsageError(
            "The directory on the server's machine must be an absolute path",
            details=terminal_safe(directory, limit=200),
            remedy="set `remote` of the server to a path like /srv/adapters",
        )


def _link_function(number: int, file: ScriptFile) -> str:
    link = file.link.reveal()
    if not _LINK.fullmatch(link):
        raise BackendError(
            "The storage made a link that can't be written into a script", details=file.name
        )
    return f"link_{number}() {{ cat <<'LINK'\n{link}\nLINK\n}}"


def _feed(stdin: IO[bytes], script: Secret) -> None:
    with suppress(OSError), stdin:  # the command may have ended
        stdin.write(script.reveal().encode())


def _listen(stream: IO[bytes], take: Callable[[str], None]) -> None:
    """Take the lines as text for a terminal, without links; what is endless is dropped."""
    count = 0
    while line := stream.readline(64 << 10):
        count += 1
        text = without_secrets(line.decode(errors="replace").rstrip("\r\n"), limit=_MOST_SIGNS)
        if count <= _MOST_LINES and text:
            take(text)


def summary(directory: str, name: str, files: Sequence[ScriptFile]) -> str:
    """What the script does, as one sentence."""
    total = formats.size(sum(file.size for file in files))
    counted = formats.counted(len(files), "file")
    return f"fetches {counted}, {total}, into {directory.rstrip('/')}/{name} and checks them"


_SCRIPT: Final = r"""#!/bin/sh
# Made by lora-tui. Run it on the server's machine.
# SECRET: whoever has the links in it can read these files. They expire at @EXPIRES@.
@LINKS@
each() {
@STEPS@
}
say() { printf 'lora-tui: %s\n' "$*"; }
fail() {
  code=$1
  shift
  say "failed: $*"
  exit "$code"
}
bytes() { if [ -f "$1" ]; then wc -c <"$1" | tr -d ' '; else echo 0; fi; }
get_with_curl() {
  "link_$1" | sed 's/.*/url = "&"/' |
    curl -q -fsS --proto '=http,https' --connect-timeout 20 --speed-limit 1024 --speed-time 60 \
      -C - -o "$2" -K -
}
get_with_wget() {
  "link_$1" | wget --no-config -q -c -T 60 -t 1 --max-redirect=0 -O "$2" -i -
}
get() {
  tries=0
  while :; do
    "$fetcher" "$1" "$2" && return 0
    code=$?
    case $fetcher:$code in
      get_with_curl:22 | get_with_wget:8) return 22 ;;
      get_with_curl:23 | get_with_wget:3) return 23 ;;
      get_with_curl:33 | get_with_curl:36) rm -f "$2" ;;
    esac
    tries=$((tries + 1))
    [ "$tries" -lt 3 ] || return "$code"
    sleep 1
  done
}
is_good() {
  [ -f "$1" ] && [ ! -L "$1" ] && [ "$(bytes "$1")" = "$2" ] && [ "$(sum "$1")" = "$3" ]
}
verify() {
  is_good "$2" "$3" "$4" ||
    fail 4 "$final is there with other contents; nothing was changed"
}
take() {
  if is_good "$2" "$3" "$4"; then
    say "file $1 of $count: it is there"
    return 0
  fi
  if [ -L "$2" ] || [ "$(bytes "$2")" -ge "$3" ]; then rm -f "$2"; fi
  say "file $1 of $count: fetching $3 bytes"
  get "$1" "$2"
  code=$?
  [ "$code" != 22 ] || fail 7 "the storage refused the link of file $1, which may have expired"
  [ "$code" != 23 ] || fail 4 "file $1 can't be written: the disk may be full"
  [ "$code" = 0 ] || fail 5 "file $1 could not be fetched"
  if ! is_good "$2" "$3" "$4"; then
    rm -f "$2"
    fail 6 "file $1 has another size or checksum than was announced"
  fi
  chmod 444 "$2"
}
main() {
  set -u
  umask 022
  LC_ALL=C
  export LC_ALL
  directory=@DIRECTORY@
  final=$directory/@NAME@
  part=$final.part
  lock=$final.lock
  count=@COUNT@
  if command -v sha256sum >/dev/null 2>&1; then
    sum() { sha256sum <"$1" | cut -d ' ' -f 1; }
  elif command -v shasum >/dev/null 2>&1; then
    sum() { shasum -a 256 <"$1" | cut -d ' ' -f 1; }
  elif command -v openssl >/dev/null 2>&1; then
    sum() { openssl dgst -sha256 -r <"$1" | cut -d ' ' -f 1; }
  else
    fail 3 "there is neither sha256sum nor shasum nor openssl"
  fi
  if command -v curl >/dev/null 2>&1; then
    fetcher=get_with_curl
  elif wget --version 2>/dev/null | grep -q 'GNU Wget'; then
    fetcher=get_with_wget
  else
    fail 3 "there is neither curl nor GNU wget"
  fi
  mkdir -p "$directory" || fail 4 "$directory can't be made"
  if [ -L "$final" ] || [ -L "$part" ]; then fail 4 "a link is in the place of $final"; fi
  if [ -e "$final" ]; then
    cd "$final" || fail 4 "$final can't be opened"
    each verify
    say "it was there already"
    say done
    exit 0
  fi
  if ! mkdir "$lock" 2>/dev/null; then
    holder=$(cat "$lock/pid" 2>/dev/null || :)
    if [ -n "$holder" ] && kill -0 "$holder" 2>/dev/null; then
      fail 4 "process $holder delivers it already"
    fi
    rm -rf "$lock"
    mkdir "$lock" || fail 4 "$directory can't be written"
  fi
  trap 'rm -rf "$lock"' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM PIPE
  echo $$ >"$lock/pid"
  mkdir -p "$part" && cd "$part" || fail 4 "$part can't be made"
  free=$(df -Pk . 2>/dev/null | awk 'NR == 2 { print $4 }')
  there=$(du -sk . 2>/dev/null | awk '{ print $1 }')
  case $free:$there in
    *[!0-9:]* | :* | *:) ;;
    *)
      [ "$((free + there))" -ge @KIBIBYTES@ ] ||
        fail 4 "the disk is full: @KIBIBYTES@ KiB are needed"
      ;;
  esac
  each take
  cd "$directory" || fail 4 "$directory can't be opened"
  if [ -e "$final" ]; then fail 4 "$final was made meanwhile"; fi
  mv "$part" "$final" || fail 4 "$part can't be renamed"
  say done
}
main
"""
"""`@WORD@` is replaced. All is in functions, so that a script that was cut off does nothing."""
