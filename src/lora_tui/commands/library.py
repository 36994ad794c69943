"""`library` and `verify`: list, check and remove downloaded adapters.

Neither needs the network or a login; with a cache they also know the project's current versions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Final

from lora_tui import formats
from lora_tui.cache import downloaded, models
from lora_tui.cache.transfer_queue import Checked
from lora_tui.commands.context import Context, resolve
from lora_tui.commands.style import table_width_of
from lora_tui.commands.table import Column, table_lines
from lora_tui.config.kinds import expanded
from lora_tui.config.paths import Paths, find_paths
from lora_tui.deployments.holders import check_unused, holders_of, loaded_error
from lora_tui.domain import Model
from lora_tui.domain.servers import Loaded
from lora_tui.errors import (
    AuthenticationError,
    ConfigError,
    ExitCode,
    LoraTuiError,
    NotFoundError,
    UsageError,
)
from lora_tui.library.contents import (
    Adapter,
    FileState,
    LocalFile,
    adapter_directories,
    examine,
    has_record,
    remove,
)
from lora_tui.library.disk_check import record_damage, record_removal
from lora_tui.library.project_status import ProjectStatus, PutAway, put_away_models
from lora_tui.text import terminal_safe

_MOST_EXTRA: Final = 20
_COLUMNS: Final = (
    Column("STATE", 100),
    Column("CHECKED", 60),
    Column("SIZE", 90, right=True),
    Column("NAME", 99, least=14),
    Column("DIRECTORY", 70, least=16),
    Column("PROJECT", 95),
)


def library(context: Context) -> ExitCode:
    """List downloaded adapters, or remove one, or those that the project has put away."""
    if context.arguments.action == "remove":
        many = context.arguments.archived or context.arguments.deleted
        return _remove_put_away(context) if many else _remove(context)
    if context.arguments.archived or context.arguments.deleted:
        raise UsageError(
            "--archived and --deleted say what to remove",
            remedy="use `lora-tui library remove --archived`",
        )
    if context.arguments.model is not None:
        raise UsageError(
            "library list takes no model",
            remedy="`lora-tui library` lists all, `lora-tui verify DIR` looks at one",
        )
    adapters = _adapters(context, _root(context), thorough=False)
    unreadable = any(file.unreadable for adapter in adapters for file in adapter.files)
    code = ExitCode.PARTLY_FAILED if unreadable else ExitCode.OK
    put_away = _put_away(context)
    if context.json:
        data = [
            {**_adapter_data(adapter), "project": _mark(put_away, adapter) or None}
            for adapter in adapters
        ]
        context.print_data({"adapters": data})
        return code
    width = table_width_of(context)
    if width is not None:
        _print_table(context, adapters, put_away, width)
    for adapter in adapters if width is None else ():
        checked = adapter.checked.value if adapter.checked else formats.NO_VALUE
        mark = _mark(put_away, adapter)
        context.out.write(
            f"{adapter.state:<10} {checked:<9} {formats.size(adapter.size):>10}  {adapter.name}"
            f"  {terminal_safe(str(adapter.directory), limit=1_000)}{f'  {mark}' if mark else ''}\n"
        )
    total = formats.size(sum(adapter.size for adapter in adapters))
    counted = formats.counted(len(adapters), "adapter")
    context.say(f"{counted} on this disk, {total}. `lora-tui verify` checks their files.")
    for kind in PutAway:
        chosen = [adapter for adapter in adapters if _mark(put_away, adapter) == kind]
        if chosen:
            context.say(
                f"{_occupied(chosen)} {kind} in the project;"
                f" `lora-tui library remove --{kind}` removes what is here."
            )
    return code


def _print_table(
    context: Context,
    adapters: Sequence[Adapter],
    put_away: Mapping[str, ProjectStatus],
    width: int,
) -> None:
    """The adapters as lines that fit the terminal."""
    columns = _COLUMNS if any(_mark(put_away, adapter) for adapter in adapters) else _COLUMNS[:-1]
    rows = [
        (
            adapter.state.value,
            adapter.checked.value if adapter.checked else formats.NO_VALUE,
            formats.size(adapter.size),
            adapter.name,
            terminal_safe(str(adapter.directory), limit=1_000),
            _mark(put_away, adapter),
        )[: len(columns)]
        for adapter in adapters
    ]
    context.out.writelines(f"{line}\n" for line in table_lines(columns, rows, width))


def _put_away(context: Context) -> Mapping[str, ProjectStatus]:
    """The archived and deleted models of the project; none where there is no cache."""
    with _cache(context) as db:
        return {} if db is None else put_away_models(db)


def _mark(put_away: Mapping[str, ProjectStatus], adapter: Adapter) -> str:
    """`archived` or `deleted`; empty for other models."""
    status = put_away.get(adapter.model_id or "")
    return status.put_away.value if status else ""


def _occupied(adapters: Sequence[Adapter]) -> str:
    """How many there are and how many bytes they take, as `2 adapters (1.2 GB)`."""
    size = formats.size(sum(adapter.size for adapter in adapters))
    return f"{formats.counted(len(adapters), 'adapter')} ({size})"


def verify(context: Context) -> ExitCode:
    """Check every byte of downloaded files, and report what is wrong."""
    given = context.arguments.directory
    if given and given.startswith("@") and not expanded(given, "The directory").exists():
        given = str(_directory_of(context, given))
    root = expanded(given, "The directory").absolute() if given else _root(context)
    if given and not root.is_dir():
        raise NotFoundError(
            "There is no such directory",
            details=str(root),
            remedy="check the path; `lora-tui library` lists the downloaded adapters",
        )
    adapters = _adapters(context, root, thorough=True, elsewhere=not given)
    if given and not adapters:
        adapters = [examine(root, thorough=True)]
        if not adapters[0].files:
            raise NotFoundError(
                "There is nothing to verify",
                details=str(root),
                remedy="name the directory of an adapter; `lora-tui library` lists them",
            )
    with _cache(context) as db:
        if db is not None:
            record_damage(db, adapters)
    files = [file for adapter in adapters for file in adapter.files]
    broken = [file for file in files if file.broken]
    pending = [file for file in files if file.pending]
    unreadable = [file for file in files if file.unreadable]
    if context.json:
        whole = not broken and not pending and not unreadable
        context.print_data(
            {"ok": whole, "adapters": [_adapter_data(adapter) for adapter in adapters]}
        )
    else:
        for adapter in adapters:
            _print_files(context, adapter)
        _say_result(context, files, len(broken), len(pending))
        if unreadable:
            context.say(f"{len(unreadable)} can't be read; see their permissions and the disk")
    if broken:
        return ExitCode.INTEGRITY
    return ExitCode.PARTLY_FAILED if pending or unreadable else ExitCode.OK


def _directory_of(context: Context, reference: str) -> Path:
    """The directory of the downloaded model of an alias. Raises NotFoundError."""
    from lora_tui.commands.inspect import downloaded_directory, not_downloaded

    directory = downloaded_directory(context, reference)
    if directory is None:
        raise not_downloaded(reference)
    return directory


def _print_files(context: Context, adapter: Adapter) -> None:
    context.out.write(f"{terminal_safe(str(adapter.directory), limit=1_000)}\n")
    extra = [file for file in adapter.files if file.state is FileState.EXTRA]
    shown = [file for file in adapter.files if file.state is not FileState.EXTRA]
    for file in [*shown, *extra[:_MOST_EXTRA]]:
        name = terminal_safe(file.name, limit=200)
        context.out.write(f"  {file.state:<10} {name}  {_words(file)}\n")
    if len(extra) > _MOST_EXTRA:
        context.out.write(
            f"  {FileState.EXTRA:<10} and {formats.count(len(extra) - _MOST_EXTRA)} more\n"
        )


def _words(file: LocalFile) -> str:
    if file.reason is not None:
        return file.reason
    if file.state is FileState.UNRECORDED:
        return "its structure is valid; there is no checksum to compare"
    if file.checked is Checked.SHA256:
        return "its SHA-256 is correct"
    if file.checked is Checked.ETAG:
        return "unchanged since its download, when its MD5 matched the ETag"
    if file.checked is Checked.STRUCTURE:
        return "unchanged since its download, when only its structure could be checked"
    return "unchanged since its download, when only its length could be checked"


def _say_result(context: Context, files: Sequence[LocalFile], broken: int, pending: int) -> None:
    good = sum(file.state in (FileState.OK, FileState.OUTDATED) for file in files)
    unproven = sum(
        file.state is FileState.OK and not (file.checked and file.checked.proven) for file in files
    )
    line = (
        f"{formats.counted(good, 'file')} as downloaded, {broken} broken, {pending} not downloaded"
    )
    if unproven:
        line += f"; {unproven} without a known checksum"
    context.say(line)
    if broken:
        context.say("`lora-tui download MODEL --force` downloads the broken files again")
    elif pending:
        context.say("`lora-tui download MODEL` downloads the missing files")


def _remove(context: Context) -> ExitCode:
    wanted = context.arguments.model
    if not wanted:
        raise UsageError(
            "No model is named", remedy="use `lora-tui library remove MODEL`, or name a directory"
        )
    adapter = _chosen(context, wanted)
    paths = _paths(context)
    held = holders_of(paths, adapter.directory)
    if held and not context.arguments.unload:
        raise loaded_error(held, adapter.directory)
    if not context.arguments.yes:
        if not context.can_ask:
            raise UsageError("Removing needs a confirmation", remedy="add --yes")
        place = terminal_safe(str(adapter.directory), limit=1_000)
        if not context.is_confirmed(f"Remove {adapter.name} from {place}?"):
            context.say("Nothing was removed.")
            return ExitCode.OK
    if held:
        _unload(context, held)
    count = remove(adapter.directory, partial(check_unused, paths))
    _record_removal(context, adapter)
    if context.json:
        context.print_data({"directory": str(adapter.directory), "removed": count})
    else:
        context.say(f"Removed {formats.counted(count, 'file')}.")
    return ExitCode.OK


def _record_removal(context: Context, adapter: Adapter) -> None:
    """Tell the cache that the files of an adapter are removed."""
    with _cache(context) as db:
        if db is not None and adapter.model_id is not None:
            others = [
                other.directory
                for other in _adapters(context, _root(context), thorough=False)
                if other.model_id == adapter.model_id
            ]
            record_removal(db, adapter.model_id, adapter.directory, others)


def _remove_put_away(context: Context) -> ExitCode:
    """Remove the adapters whose models are archived or deleted in the project, but loaded ones."""
    arguments = context.arguments
    if arguments.model is not None or arguments.unload:
        raise UsageError(
            "--archived and --deleted take no model, and no --unload",
            remedy="leave it out, or remove that one by `lora-tui library remove MODEL`",
        )
    wanted = [kind for kind in PutAway if vars(arguments)[kind.value]]
    put_away = _put_away(context)
    adapters = [
        adapter
        for adapter in _adapters(context, _root(context), thorough=False)
        if _mark(put_away, adapter) in wanted
    ]
    held = {adapter.directory: _servers_with(context, adapter.directory) for adapter in adapters}
    chosen = [adapter for adapter in adapters if not held[adapter.directory]]
    kept = [adapter for adapter in adapters if held[adapter.directory]]
    for adapter in kept:
        context.say(
            f"{adapter.name} stays: {', '.join(held[adapter.directory])} has it loaded;"
            " unload it first"
        )
    if chosen and not _may_remove(context, chosen, put_away):
        context.say("Nothing was removed.")
        return ExitCode.OK
    removed, failed = [], 0
    for adapter in chosen:
        try:
            count = remove(adapter.directory, partial(check_unused, _paths(context)))
        except LoraTuiError as error:
            failed += 1
            context.say(f"{adapter.name} was not removed: {error}")
            continue
        _record_removal(context, adapter)
        removed.append((adapter, count))
    if context.json:
        context.print_data(
            {
                "removed": [
                    {"directory": str(a.directory), "model_id": a.model_id, "removed": count}
                    for a, count in removed
                ],
                "kept": [{"directory": str(a.directory), "model_id": a.model_id} for a in kept],
            }
        )
    elif adapters:
        context.say(f"Removed {_occupied([adapter for adapter, _ in removed])}.")
    else:
        context.say(f"No model on this disk is {' or '.join(wanted)} in the project.")
    return ExitCode.PARTLY_FAILED if failed or kept else ExitCode.OK


def _may_remove(
    context: Context, adapters: Sequence[Adapter], put_away: Mapping[str, ProjectStatus]
) -> bool:
    """Ask whether to remove these adapters, unless the user has said so. Raises UsageError."""
    if context.arguments.yes:
        return True
    if not context.can_ask:
        raise UsageError("Removing needs a confirmation", remedy="add --yes")
    for adapter in adapters:
        only = put_away[adapter.model_id or ""].only_here
        note = "; the project has no files of it any more" if only else ""
        size = formats.size(adapter.size)
        context.talk.write(f"{_mark(put_away, adapter):<8}  {size:>10}  {adapter.name}{note}\n")
    return context.is_confirmed(f"Remove {_occupied(adapters)} from this disk?")


def _servers_with(context: Context, directory: Path) -> list[str]:
    """The servers that have loaded an adapter from this directory. Raises DiskError."""
    held = holders_of(_paths(context), directory)
    return list(dict.fromkeys(terminal_safe(one.server, limit=40) for one in held))


def _unload(context: Context, held: Sequence[Loaded]) -> None:
    """Unload what servers have of a directory. Raises what the servers' clients raise."""
    from lora_tui.commands.load import loading_tools  # late: with it come the clients
    from lora_tui.engine.loading import unload_model

    context.require_network()
    with loading_tools(context) as tools:
        for server, model_id in dict.fromkeys((one.server, one.model_id) for one in held):
            for row in unload_model(context.profile, server, model_id, tools):
                context.say(f"Unloaded {row.name} from {row.server}.")


def _chosen(context: Context, wanted: str) -> Adapter:
    path = expanded(wanted, "The directory").absolute()
    if has_record(path):
        return examine(path, thorough=False)
    adapters = _adapters(context, _root(context), thorough=False)
    found = [
        adapter
        for adapter in adapters
        if wanted == adapter.name or (adapter.model_id or "").startswith(wanted.lower())
    ]
    if not found:
        with _cache(context) as db:
            if db is not None:
                model_id = resolve(db, wanted).id
                found = [adapter for adapter in adapters if adapter.model_id == model_id]
    if not found:
        raise NotFoundError(
            "No such adapter is on this disk", remedy="run `lora-tui library` to list them"
        )
    if len(found) > 1:
        candidates = ", ".join(str(adapter.directory) for adapter in found[:10])
        raise UsageError(
            f"{len(found)} adapters on this disk match",
            details=candidates,
            remedy="name the directory",
        )
    return found[0]


def _root(context: Context) -> Path:
    try:
        return context.profile.downloads_dir
    except ConfigError:
        return _paths(context).downloads_dir


def _paths(context: Context) -> Paths:
    return find_paths(config_file=context.arguments.config)


def _adapters(
    context: Context, root: Path, *, thorough: bool, elsewhere: bool = True
) -> list[Adapter]:
    with _cache(context) as db:
        others: list[Path] = []
        model_of: Callable[[str], Model | None] = lambda _: None  # noqa: E731
        if db is not None:
            others = downloaded.downloaded_directories(db) if elsewhere else []
            model_of = lambda model_id: models.get_model(db, model_id)  # noqa: E731
        return [
            examine(directory, thorough=thorough, model_of=model_of)
            for directory in adapter_directories(root, others)
        ]


@contextmanager
def _cache(context: Context) -> Iterator[Connection | None]:
    """The cache of the signed-in user; None if there is none."""
    try:
        path = context.cache_path()
    except (ConfigError, AuthenticationError):
        path = None
    if path is None or not path.exists():
        yield None
        return
    with context.cache() as db:
        yield db


def _adapter_data(adapter: Adapter) -> dict[str, Any]:
    return {
        "directory": str(adapter.directory),
        "model_id": adapter.model_id,
        "name": adapter.name,
        "version": adapter.version,
        "size": adapter.size,
        "state": adapter.state.value,
        "checked": adapter.checked,
        "files": [
            {key: value for key, value in asdict(file).items() if key != "fetched"}
            for file in adapter.files
        ],
    }
