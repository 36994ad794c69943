"""`servers`: the servers that answer prompts with adapters: add, list and remove them."""

from __future__ import annotations

import getpass
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lora_tui import formats
from lora_tui.account import sessions
from lora_tui.account.server_keys import check_key, remove_key, server_key, store_key
from lora_tui.cache.connection import transaction
from lora_tui.cache.served import (
    KnownServer,
    forget_servers,
    known_server,
    known_servers,
)
from lora_tui.commands.context import Context, told
from lora_tui.commands.style import table_width_of
from lora_tui.commands.table import ESSENTIAL, Column, table_lines
from lora_tui.config.kinds import Written, expanded
from lora_tui.config.servers import Server, find_server, remote_path, server_url, servers_in
from lora_tui.config.table import Profile
from lora_tui.deployments.record import is_recorded, open_deployments, owner_key
from lora_tui.documents.servers import answers_text, loaded_text, server_data
from lora_tui.domain.servers import Loaded, ServerKind, ServerState, server_name
from lora_tui.errors import LoraTuiError, UnreachableError, UsageError
from lora_tui.secret import Secret
from lora_tui.text import terminal_safe

_COLUMNS = (
    Column("NAME", ESSENTIAL, least=8),
    Column("KIND", 40),
    Column("ANSWERS", 90, least=12),
    Column("BASE", 30, least=14, most=60),
    Column("LOADED", 80, least=16),
    Column("URL", 20, least=16),
)


def list_servers(context: Context) -> None:
    """Ask each server whether it answers and what it has loaded.

    With --offline: what it said when it was last asked.
    """
    servers = list(servers_in(context.profile).values())
    with _cache_if_any(context) as db:
        if context.arguments.offline:
            found = known_servers(db, servers) if db else [KnownServer(one) for one in servers]
        else:
            found = _asked(context, db, servers)
    if context.json:
        context.print_data({"servers": [server_data(one) for one in found]})
        return
    rows = [_row(one) for one in found]
    context.out.writelines(
        f"{line}\n" for line in table_lines(_COLUMNS, rows, table_width_of(context))
    )
    if not found:
        context.say("There is no server: `lora-tui servers add NAME URL` adds one.")


def add(context: Context) -> None:
    """Add a server to the profile: it is asked what it is. With --force change one."""
    arguments, profile = context.arguments, context.profile
    name = server_name(arguments.server)
    if profile.identity:
        raise UsageError(
            "The demo brings its own server, and takes no other",
            remedy="leave out `--profile`, or choose another profile",
        )
    before = servers_in(profile).get(name)
    if before is not None and not arguments.force:
        raise UsageError(
            f"There is a server named {name} already",
            details=before.url,
            remedy="give another name, or change it with --force",
        )
    server = _described(context, name, before)
    moved = before is not None and before.url != server.url
    if before is not None and moved:
        _require_unloaded(profile, before)
    key = _key(context, server)
    if key is not None:
        check_key(server, key.reveal(), "the key")
    known = key or server_key(profile._replace(servers={}) if moved else profile, server)
    server, state = _find_out(context, server, known, before)
    values = _values(server)
    if moved or key is not None:
        values |= {"keyring": None, "key": None}
        if before is not None and before.has_keyring_entry:
            remove_key(profile, name)
    kept_in = ""
    if key is not None:
        if store_key(profile, name, key.reveal()):
            values["keyring"], kept_in = True, "the keyring"
        else:
            values["key"], kept_in = key.reveal(), str(profile.paths.config_file)
    _write(profile, name, values)
    _say_added(context, server, state, kept_in, was_there=before is not None)
    if moved and key is None:
        context.say("Its key, if it had one, was of the earlier address, and is removed.")


def remove(context: Context) -> None:
    """Remove a server and its key from the profile; refused while models are loaded there."""
    profile = context.profile
    server = find_server(profile, context.arguments.server)
    if profile.identity:
        raise UsageError("The demo's own server can't be removed")
    loaded = _loaded_on(profile, server)
    if loaded and not context.arguments.force:
        names = formats.some_of([terminal_safe(one.model_name, limit=60) for one in loaded])
        raise UsageError(
            f"{server.name} has models loaded: {names}",
            details="their files are protected while a server may read them",
            remedy="unload them with `lora-tui unload`, or use --force to forget them",
        )
    from lora_tui.config.write import remove_server  # late: it loads a parser

    remove_server(profile.paths.config_file, profile.name, server.name)
    if server.has_keyring_entry:
        remove_key(profile, server.name)
    if loaded:
        with open_deployments(profile.paths) as deployments:
            for one in loaded:
                deployments.forget_loaded(one.owner, one.server, one.name)
    with _cache_if_any(context) as db:
        if db is not None:
            with transaction(db):
                forget_servers(db, [server.name])
    if context.json:
        context.print_data({"name": server.name, "forgotten": [one.name for one in loaded]})
        return
    context.say(f"Removed the server {server.name}. Nothing was asked of it.")
    if loaded:
        context.say(
            f"{formats.counted(len(loaded), 'model')} loaded there:"
            " their files are protected no more. `lora-tui unload MODEL --all` takes back their"
            " status in the project."
        )


def _asked(
    context: Context, db: sqlite3.Connection | None, servers: Sequence[Server]
) -> list[KnownServer]:
    """Ask all servers; what they say is kept in the cache, and corrects the record."""
    from lora_tui.serving.survey import ask_all, forget_others, note_states

    profile = context.profile
    states = ask_all(profile, servers)
    if db is None:
        return [known_server(one, state, ()) for one, state in zip(servers, states, strict=True)]
    owner = owner_key(profile, context.cache_owner().user_id)
    for one in note_states(db, profile.paths, owner, states):
        context.say(
            f"{one.server} has {terminal_safe(one.name, limit=80)} no longer"
            f" ({terminal_safe(one.model_name, limit=80)}): it was started again, or somebody"
            " unloaded it. It is noted."
        )
    forget_others(db, servers)
    return known_servers(db, servers)


@contextmanager
def _cache_if_any(context: Context) -> Iterator[sqlite3.Connection | None]:
    """The cache of the account in force; None where nobody has signed in."""
    if sessions.account_of(context.profile) is None:
        yield None
        return
    with context.cache() as db:
        yield db


def _loaded_on(profile: Profile, server: Server) -> list[Loaded]:
    account = sessions.account_of(profile)
    if account is None or not is_recorded(profile.paths):
        return []
    with open_deployments(profile.paths) as deployments:
        return deployments.loaded(owner_key(profile, account.user_id), server=server.name)


def _require_unloaded(profile: Profile, before: Server) -> None:
    """What was loaded at the earlier address would be unprotected by the next load under its name.

    Raises UsageError.
    """
    loaded = [one for one in _loaded_on(profile, before) if one.url == before.url]
    if loaded:
        names = formats.some_of([terminal_safe(one.model_name, limit=60) for one in loaded])
        raise UsageError(
            f"{before.name} has models loaded at its earlier address: {names}",
            details=before.url,
            remedy=f"unload them first: `lora-tui unload --all --from {before.name}`; with --forget"
            " in addition where that server is gone",
        )


def _described(context: Context, name: str, before: Server | None) -> Server:
    """The server that the command line describes; what it leaves out stays as it was."""
    arguments = context.arguments
    local, remote, via = arguments.local, arguments.remote, arguments.via or None
    if local is not None and via is not None:
        raise UsageError(
            "--via fetches the files there, so --local is not needed",
            remedy="leave out one of them; --remote names the directory there",
        )
    if via is None and (local is None) != (remote is None):
        raise UsageError(
            "--local and --remote are given together",
            remedy="--local names a directory here, --remote the same one on the server's machine;"
            " with --via --remote alone",
        )
    server = Server(
        name,
        server_url(arguments.url.strip(), "the address"),
        ServerKind(arguments.kind) if arguments.kind else None,
        _directory(local) if local else None,
        remote_path(remote, "--remote") if remote else None,
        via,
    )
    if before is not None:
        if local is None and via is None:
            server = server._replace(local=before.local, remote=before.remote, via=before.via)
        # a key is sent to the address that it was given for, and to no other
        same = before.url == server.url
        server = server._replace(has_keyring_entry=same and before.has_keyring_entry)
    return server


def _directory(text: str) -> Path:
    path = expanded(text, "--local").absolute()
    if not path.is_dir():
        raise UsageError("--local is no directory of this machine", details=str(path))
    return path


def _key(context: Context, server: Server) -> Secret | None:
    given = context.arguments.key
    if given is None:
        return None
    if given != "-":
        raise UsageError(
            "A key on the command line can be seen by others",
            remedy="use `--key -`, which asks for it, or reads it from stdin",
        )
    try:
        typed = getpass.getpass(f"Key of {server.name}: ") if sys.stdin.isatty() else (
            sys.stdin.readline()
        )  # fmt: skip
    except UnicodeDecodeError:
        raise UsageError("The key is not UTF-8 text") from None
    except EOFError:
        typed = ""
    if not typed.strip():
        raise UsageError("No key was given, and nothing was changed", remedy="write it to stdin")
    return Secret(typed.strip())


def _find_out(
    context: Context, server: Server, key: Secret | None, before: Server | None
) -> tuple[Server, ServerState | None]:
    """The server with its kind, and what it said; None where it was not asked or said nothing."""
    earlier = before.kind if before is not None and before.url == server.url else None
    if context.arguments.offline:
        server = server._replace(kind=server.kind or earlier)
        if server.kind is None:
            raise UnreachableError(
                "What runs there can't be asked, because --offline was given",
                remedy="say it with --kind, or leave out --offline",
            )
        return server, None
    from lora_tui.serving.connect import connect, find_kind

    try:
        kind = find_kind(server, key)
    except LoraTuiError as error:
        server = server._replace(kind=server.kind or earlier)
        if server.kind is None:
            if "--kind" not in (error.remedy or ""):
                error.remedy = f"{error.remedy}; or say what runs there with `--kind`, to add it"
            raise
        context.say(f"It is added as {server.kind}, although it could not be asked: {told(error)}")
        return server, None
    if server.kind is not None and server.kind is not kind:
        raise UsageError(
            f"{kind} runs there, not {server.kind}", details=server.url, remedy="leave out --kind"
        )
    server = server._replace(kind=kind)
    with connect(server, key) as client:
        return server, client.state()


def _values(server: Server) -> dict[str, Written | None]:
    return {
        "url": server.url,
        "kind": str(server.kind) if server.kind else None,
        "local": str(server.local) if server.local else None,
        "remote": server.remote,
        "via": server.via,
    }


def _write(profile: Profile, name: str, values: dict[str, Written | None]) -> None:
    from lora_tui.config.write import write_server  # late: it loads a parser

    write_server(profile.paths.config_file, profile.name, name, values)


def _say_added(
    context: Context, server: Server, state: ServerState | None, kept_in: str, *, was_there: bool
) -> None:
    if context.json:
        context.print_data(server_data(known_server(server, state, ())))
    verb = "Changed" if was_there else "Added"
    said = f"{verb} {server.name}: {server.kind} at {server.url}"
    if state is not None and state.answers:
        base = terminal_safe(state.base, limit=80)
        said += f", with {base or 'an unnamed base model'}"
        said += f", {formats.counted(len(state.adapters), 'adapter')} loaded"
    elif state is not None:
        said += f", which does not answer as it should: {state.error}"
    context.say(f"{said}.")
    if kept_in:
        context.say(f"Its key is kept in {kept_in}.")


def _row(known: KnownServer) -> tuple[str, ...]:
    server, state = known.server, known.state
    return (
        server.name,
        known.kind or formats.NO_VALUE,
        answers_text(state),
        terminal_safe(state.base, limit=200) if state and state.base else formats.NO_VALUE,
        loaded_text(known),
        server.url,
    )
