"""`load` and `unload`: a model into a server, and out of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lora_tui.commands.context import YES, Context, resolve, told
from lora_tui.domain.servers import Loaded
from lora_tui.errors import ExitCode, LoraTuiError, UsageError
from lora_tui.reports.proof_text import proof_data
from lora_tui.secret import Secret
from lora_tui.text import terminal_safe

if TYPE_CHECKING:
    from lora_tui.domain import Model
    from lora_tui.serving.tools import Outcome, Tools


def load_model(context: Context) -> ExitCode:
    """Deliver a model, load it into a server, and prove its effect.

    Returns PARTLY_FAILED where it is loaded without a clear effect, and where a llama-server must
    be started again first.
    """
    from lora_tui.engine.loading import load_model, script_for
    from lora_tui.serving.tools import LoadOptions

    arguments = context.arguments
    context.require_network()
    options = LoadOptions(
        name=arguments.name,
        anyway=arguments.anyway,
        via=arguments.via,
        remote=arguments.remote,
        delivered=arguments.delivered,
        proves=not arguments.no_proof,
    )
    with loading_tools(context) as tools:
        model_id = resolve(tools.db, arguments.model).id
        if arguments.script:
            script, what = script_for(context.profile, arguments.to, model_id, options, tools)
            if context.json:
                context.print_data({"script": script.reveal(), "does": what})
            else:
                context.out.write(script.reveal())
                context.say(f"This script has secret links; it {what}. Then run the same command"
                            " with --delivered in place of --script.")  # fmt: skip
            return ExitCode.OK
        outcome = load_model(context.profile, arguments.to, model_id, options, tools)
    return _tell(context, outcome)


def unload_model(context: Context) -> ExitCode:
    """Unload a model from a server, from all, or everything from one server."""
    from lora_tui.engine.loading import forget_model, note_unloaded, unload_model
    from lora_tui.serving.unload import still_loaded

    arguments, profile = context.arguments, context.profile
    if arguments.server is None and not (arguments.all and arguments.model):
        raise UsageError(
            "No server is named",
            remedy="use `lora-tui unload MODEL --from SERVER`, or --all for every server",
        )
    if arguments.model is None and not arguments.all:
        raise UsageError(
            "No model is named",
            remedy="use `lora-tui unload MODEL --from SERVER`, or --all for every model there",
        )
    if not arguments.forget:
        context.require_network()
    unloaded: list[Loaded] = []
    failed: list[LoraTuiError] = []
    with loading_tools(context) as tools:
        model_id = resolve(tools.db, arguments.model).id if arguments.model else None
        if arguments.server:
            servers = [arguments.server]
        else:
            assert model_id is not None
            servers = sorted({row.server for row in still_loaded(model_id, tools)})
            if not servers:  # a server that was started again has forgotten it; the project has not
                note_unloaded(model_id, tools)
        for server in servers:
            try:
                if arguments.forget:
                    unloaded += forget_model(server, model_id, tools)
                else:
                    unloaded += unload_model(profile, server, model_id, tools)
            except LoraTuiError as error:
                if len(servers) == 1:
                    raise
                failed.append(error)
    for one in failed:
        context.say(told(one))
    if context.json:
        rows = [{"server": row.server, "name": row.name, "model_id": row.model_id}
                for row in unloaded]  # fmt: skip
        context.print_data({"unloaded": rows, "errors": [told(one) for one in failed]})
        return ExitCode.PARTLY_FAILED if failed else ExitCode.OK
    for row in unloaded:
        what = "Forgot that" if arguments.forget else "Unloaded"
        shown = terminal_safe(row.model_name, limit=120)
        context.say(f"{what} {shown} from {row.server} ({row.name})."
                    if not arguments.forget else
                    f"{what} {row.server} has {shown} loaded ({row.name}).")  # fmt: skip
    if not unloaded and not failed:
        context.say("Nothing was loaded.")
    return ExitCode.PARTLY_FAILED if failed else ExitCode.OK


@contextmanager
def loading_tools(context: Context) -> Iterator[Tools]:
    """What loading and unloading need, with an open cache; the project only when it is asked."""
    from lora_tui.commands.download import Bars
    from lora_tui.engine.loading import SignedInProject, tools_of
    from lora_tui.engine.online import OnlineWriters

    with ExitStack() as stack:
        connected: list[OnlineWriters] = []

        def connect() -> OnlineWriters:
            if not connected:
                context.require_network()
                connected.append(OnlineWriters(context.profile))
                stack.callback(connected[0].close)
            return connected[0]

        db = stack.enter_context(context.cache())

        def proving(done: int, of: int) -> None:
            if context.can_redraw and not context.json:
                context.talk.rewrite_line(f"Asking: {done} of {of}")

        def fetch(online: OnlineWriters, model: Model, directory: Path) -> None:
            with Bars(context) as bars:
                online.download(model.id, directory=directory, on_change=bars.update)

        tools = tools_of(
            context.profile,
            context.cache_owner().user_id,
            db,
            SignedInProject(connect, db, fetch),
            say=context.say if not context.json else lambda _line: None,
            confirm=lambda command, script: _confirmed(context, command, script),
            proving=proving,
            has_terminal=sys.stdin.isatty(),
        )
        try:
            yield tools
        finally:
            if context.can_redraw:
                context.talk.rewrite_line("")


def _confirmed(context: Context, command: str, script: Secret) -> bool:
    if getattr(context.arguments, "yes", False):
        context.say(f"Running: {terminal_safe(command, limit=500)}")
        return True
    if not context.can_ask:
        raise UsageError(
            "A script would run on another machine, which needs a confirmation",
            details=terminal_safe(command, limit=500),
            remedy="look at it with --script, then add --yes",
        )
    context.say(f"This runs: {terminal_safe(command, limit=500)}")
    while True:
        answer = context.ask("Run it? [y/N, s shows the script]")
        if answer != "s":
            return answer in YES
        context.talk.write(script.reveal())


def _tell(context: Context, outcome: Outcome) -> ExitCode:
    from lora_tui.engine.loading import is_clear, outcome_lines

    code = ExitCode.OK if is_clear(outcome) else ExitCode.PARTLY_FAILED
    if context.json:
        context.print_data(_data(outcome))
        return code
    context.out.write(outcome.commands or f"{outcome.loaded.name if outcome.loaded else ''}\n")
    for line in outcome_lines(outcome):
        context.say(line)
    if outcome.loaded is None:
        context.say(
            f"{context.arguments.to} is a llama-server, which takes adapters at its start only."
            " These commands convert the adapter and start it again; then run the same command"
            " once more, and the effect is proved."
        )
    return code


def _data(outcome: Outcome) -> dict[str, object]:
    loaded, proof = outcome.loaded, outcome.proof
    return {
        "loaded": None
        if loaded is None
        else {
            "server": loaded.server,
            "name": loaded.name,
            "model_id": loaded.model_id,
            "model_name": loaded.model_name,
            "version": loaded.version,
            "path": loaded.server_path,
            "directory": loaded.directory or None,
            "was_there": outcome.was_there,
        },
        "commands": outcome.commands or None,
        "remarks": list(outcome.remarks),
        "proof": None if proof is None else proof_data(proof),
        "proof_error": None if outcome.proof_error is None else str(outcome.proof_error),
    }
