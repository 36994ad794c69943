"""Loads a model into a server, and unloads it.

Order: what is known to be refused is said before anything is sent; the files are delivered; it is
noted in the record, which protects their directory; the server is asked; the effect is proved.
Where nobody knows whether the server has taken it, the note stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path, PurePosixPath

from lora_tui import clock
from lora_tui.adapters.served import served_adapter, served_from_header
from lora_tui.adapters.serving_remarks import refusals, remarks
from lora_tui.adapters.snippets import ServedAdapter
from lora_tui.config.servers import Server
from lora_tui.deployments.copy import refresh_served
from lora_tui.deployments.record import Deployments, open_deployments
from lora_tui.domain import Model
from lora_tui.domain.servers import Loaded, ServedName, ServerKind, ServerState
from lora_tui.errors import (
    CancelledError,
    ConflictError,
    IntegrityError,
    LoraTuiError,
    TooLargeAnswerError,
    UnreachableError,
    UsageError,
)
from lora_tui.secret import Secret
from lora_tui.serving.at_start import given_at_start
from lora_tui.serving.client import Client
from lora_tui.serving.delivery import (
    Delivery,
    Version,
    deliver,
    is_intact,
    known_files,
    version_of,
)
from lora_tui.serving.prove import Asking, prove_model
from lora_tui.serving.script import ScriptFile, delivery_script, run_script, summary
from lora_tui.serving.survey import may_be_under_way
from lora_tui.serving.tools import (
    LINK_SECONDS,
    LoadOptions,
    Outcome,
    Tools,
    changing,
    copies_of,
    loaded_row,
    locked_place,
    refresh,
    remote_directory,
    served_name,
    state_of,
)
from lora_tui.serving.unload import still_loaded
from lora_tui.text import terminal_safe


def load(
    model: Model, server: Server, client: Client, options: LoadOptions, tools: Tools
) -> Outcome:
    """Load a model into a server.

    Raises UsageError for what this server can't load, and a name that another version has;
    UnreachableError where it does not answer; BackendError with the server's own words where it
    refuses; and what delivering raises.
    """
    if model.status == "archived":
        raise UsageError(
            "The model is archived",
            details=terminal_safe(model.name, limit=120),
            remedy=f"take it out of the archive with `lora-tui restore {model.id[:8]}`",
        )
    name = None if options.name is None else served_name(options.name)
    version = version_of(model, tools.project.stamp_of)
    state = state_of(client, server, tools)
    existing = copies_of(model, tools)
    notes = _check_adapter(model, client.kind, existing, options, tools)
    if client.kind is ServerKind.LLAMA_CPP:
        outcome = given_at_start(
            model, version, server, state, existing,
            lambda usable: _deliver(model, version, server, usable, options, tools), tools,
        )  # fmt: skip
    else:
        outcome = _load(model, version, server, client, state, existing, name, options, tools)
    outcome = outcome._replace(remarks=(*notes, *outcome.remarks))
    if outcome.loaded is None:
        return outcome
    state = refresh(client, tools)
    if state.answers and all(one.name != outcome.loaded.name for one in state.adapters):
        raise _not_known(outcome.loaded, f"{server.name} said yes, but does not list it")
    if options.proves:
        tools.say("proving its effect")
        outcome = _prove(outcome, outcome.loaded, model, client, tools)
    said = tools.project.note_status(model, deployed=True)
    return outcome._replace(remarks=(*outcome.remarks, said)) if said else outcome


def script_of(
    model: Model, server: Server, options: LoadOptions, tools: Tools
) -> tuple[Secret, str]:
    """The script that fetches the files on the server's machine, and what it does, in words.

    Raises UsageError without a directory there, NotFoundError where checksums are not known, and
    the storage's errors.
    """
    version = version_of(model, tools.project.stamp_of)
    directory = remote_directory(server, options)
    files = known_files(model, copies_of(model, tools))
    links = tools.project.sign_many([file.path for file, _, _ in files.values()])
    ready = []
    for name, (file, size, sha256) in files.items():
        link = links[file.path]
        if isinstance(link, LoraTuiError):
            raise link
        ready.append(ScriptFile(name, size, sha256, Secret(link)))
    expires = clock.timestamp_text(clock.now() + timedelta(seconds=LINK_SECONDS))
    script = delivery_script(directory, version.name, ready, expires=expires)
    return script, summary(directory, version.name, ready)


# vLLM -------------------------------------------------------------------------------------------


def _load(
    model: Model, version: Version, server: Server, client: Client, state: ServerState,
    existing: Sequence[Path], own_name: str | None, options: LoadOptions, tools: Tools,
) -> Outcome:  # fmt: skip
    name = own_name or version.name
    with open_deployments(tools.paths) as deployments:
        found = _already(model, version, server, state, name, existing, deployments, tools)
        if found is not None:
            return Outcome(found, was_there=True)
    # with a name of one's own only a path of this version alone keeps name and path unique
    usable = [path for path in existing if own_name is None or path.name == version.name]
    delivery = _deliver(model, version, server, usable, options, tools)
    notes: tuple[str, ...] = ()
    if delivery.directory is not None:
        served = served_adapter(model, delivery.directory)
        _refuse(served, client.kind, options)
        notes = tuple(
            f"An earlier version is loaded as {one.name}: `lora-tui unload` takes it away."
            for one in still_loaded(model.id, tools)
            if one.server == server.name and one.version not in ("", version.mark)
        )
    with changing(server, tools), open_deployments(tools.paths) as deployments:
        # what it has, and what is noted, may have changed while the files were delivered
        state = state_of(client, server, tools)
        found = _already(model, version, server, state, name, existing, deployments, tools)
        if found is not None:
            return Outcome(found, was_there=True, remarks=notes)
        row = loaded_row(tools, server, model, version, name, delivery)
        with locked_place(delivery.directory):
            deployments.note_loaded(row)
        if delivery.directory is not None and not is_intact(model, delivery.directory):
            deployments.forget_loaded(row.owner, row.server, row.name)
            raise IntegrityError(
                "The files were changed while they were delivered",
                details=str(delivery.directory),
                remedy="try again",
            )
        refresh_served(tools.db, tools.paths, tools.owner)
        tools.say(f"asking {server.name} to load {name}")
        try:
            client.load(name, delivery.server_path)
        except (UnreachableError, ConflictError, CancelledError, TooLargeAnswerError) as error:
            _look_what_happened(row, client, error, deployments)
            refresh_served(tools.db, tools.paths, tools.owner)
        except LoraTuiError as error:
            deployments.forget_loaded(row.owner, row.server, row.name)
            refresh_served(tools.db, tools.paths, tools.owner)
            raise _explained(error, model, client.kind, delivery.directory) from error
    return Outcome(row, remarks=notes)


def _already(
    model: Model, version: Version, server: Server, state: ServerState, name: str,
    existing: Sequence[Path], deployments: Deployments, tools: Tools,
) -> Loaded | None:  # fmt: skip
    """The row of what the server has under this name; None where it has nothing.

    Raises UsageError where that is not this version of this model.
    """
    listed = next((one for one in state.adapters if one.name == name), None)
    known = deployments.loaded(tools.owner, server=server.name)
    noted = next((row for row in known if row.name == name), None)
    if noted is not None and noted.url != server.url:
        raise UsageError(
            f"{name} was loaded when {server.name} had another address",
            details=terminal_safe(noted.url, limit=200),
            remedy=f"`lora-tui unload {noted.model_id[:8]} --from {server.name} --forget` removes"
            " that note; its files are protected no more then",
        )
    same = (model.id, version.mark)
    is_same = noted is not None and (noted.model_id, noted.version) == same
    if listed is None:
        if noted is not None and not is_same and may_be_under_way(noted, state):
            raise UsageError(
                f"{server.name} may be loading another version under this name",
                details=name,
                remedy="wait some minutes, choose another name with `--as NAME`, or unload that one"
                f" first: `lora-tui unload {noted.model_id[:8]} --from {server.name}`",
            )
        return None
    if noted is not None and is_same:
        if listed.path in ("", noted.server_path):
            return noted
    elif noted is None:
        place = _place_of(listed, model, version, server, existing, tools)
        if place is not None:
            row = loaded_row(tools, server, model, version, name, place)
            deployments.note_loaded(row)
            return row
    raise _name_taken(server.name, listed)


def _name_taken(server: str, listed: ServedName) -> UsageError:
    return UsageError(
        f"{server} has another adapter of this name loaded",
        details=f"{terminal_safe(listed.name, limit=120)},"
        f" from {terminal_safe(listed.path, limit=300) or 'an unknown path'}",
        remedy="choose another name with `--as NAME`, or unload that one first",
    )


def _place_of(
    listed: ServedName, model: Model, version: Version, server: Server,
    existing: Sequence[Path], tools: Tools,
) -> Delivery | None:  # fmt: skip
    """Where an adapter that the server has lies, if it certainly is this version."""
    root = Path(os.path.realpath(server.local or tools.downloads))
    for path in [Path(os.path.realpath(one)) for one in existing] + [root / version.name]:
        if listed.path == server.server_path(path) and is_intact(model, path):
            return Delivery(listed.path, path)
    # its name has the version, and nothing but this version is ever put there
    if server.via and PurePosixPath(listed.path).name == version.name:
        return Delivery(listed.path, None)
    return None


def _deliver(
    model: Model, version: Version, server: Server, existing: Sequence[Path],
    options: LoadOptions, tools: Tools,
) -> Delivery:  # fmt: skip
    if options.delivered:
        return Delivery(f"{remote_directory(server, options).rstrip('/')}/{version.name}", None)
    via = options.via or (server.via if server.local is None else None)
    if via is None:

        def fetch(directory: Path) -> None:
            tools.say(f"downloading into {directory}")
            tools.project.fetch(model, directory)

        return deliver(
            model, version, server, downloads=tools.downloads, existing=existing, fetch=fetch
        )
    directory = remote_directory(server, options)
    script, what = script_of(model, server, options, tools)
    if not tools.confirm(f"{via} sh -s  # {what}", script):
        raise CancelledError("Nothing was run and nothing loaded")
    run_script(via, script, tools.say, has_terminal=tools.has_terminal)
    return Delivery(f"{directory.rstrip('/')}/{version.name}", None)


def _look_what_happened(
    row: Loaded, client: Client, error: LoraTuiError, deployments: Deployments
) -> None:
    """Return where the server has it after all; else raise what is known."""
    listed = [one for one in client.state().adapters if one.name == row.name]
    if any(one.path in ("", row.server_path) for one in listed):
        return
    if listed:
        deployments.forget_loaded(row.owner, row.server, row.name)
        raise _name_taken(row.server, listed[0]) from error
    said = f"{error}" + (f" ({error.details})" if error.details else "")
    raise _not_known(row, said) from error


def _not_known(row: Loaded, said: str) -> UnreachableError:
    return UnreachableError(
        f"Nobody knows whether {row.server} has loaded it",
        details=said,
        remedy="its files stay protected. Try again: what is loaded is recognised;"
        f" or `lora-tui unload {row.model_id[:8]} --from {row.server}`",
    )


def _explained(
    error: LoraTuiError, model: Model, kind: ServerKind, directory: Path | None
) -> LoraTuiError:
    """The server's refusal, with what is known of this adapter."""
    reasons = remarks(served_adapter(model, directory), _program(kind))
    if not reasons:
        return error
    said = [error.details] if error.details else []
    error.details = " · ".join([*said, *reasons])
    return error


# What is known of the adapter -------------------------------------------------------------------


def _check_adapter(
    model: Model, kind: ServerKind, existing: Iterable[Path], options: LoadOptions, tools: Tools
) -> tuple[str, ...]:
    """What is known before anything is sent. Raises UsageError for what the server refuses."""
    directory = next(iter(existing), None)
    served = served_adapter(model, directory)
    if served.config is None:
        try:
            served = served_from_header(model, tools.project.read_header(model))
        except (UnreachableError, CancelledError):
            raise
        except LoraTuiError:
            pass  # a .bin, say: what the server says of it is told
    _refuse(served, kind, options)
    return remarks(served, _program(kind))


def _refuse(served: ServedAdapter, kind: ServerKind, options: LoadOptions) -> None:
    known = refusals(served, _program(kind))
    if known and not options.anyway:
        raise UsageError(
            f"{'vLLM' if kind is ServerKind.VLLM else 'llama-server'} can't load this adapter",
            details=" ".join(known),
            remedy="add --anyway to try it all the same",
        )


def _program(kind: ServerKind) -> str:
    return str(kind)


def _prove(outcome: Outcome, loaded: Loaded, model: Model, client: Client, tools: Tools) -> Outcome:
    asking = Asking(
        read_header=lambda: tools.project.read_header(model),
        progress=tools.proving,
        check_stop=tools.check_stop,
    )
    try:
        proof = prove_model(
            client, loaded, model=model, paths=tools.paths, db=tools.db, asking=asking
        )
    except CancelledError:
        raise
    except LoraTuiError as error:
        return outcome._replace(proof_error=error)
    return outcome._replace(proof=proof)
