"""`serve`: the application as a page in a browser of this machine."""

from __future__ import annotations

import shlex
from contextlib import closing
from typing import Final

from lora_tui.commands.context import Context
from lora_tui.config.addresses import is_loopback
from lora_tui.errors import UsageError, missing_extra
from lora_tui.processes import module_command

_LAST_PORT: Final = 65_535


def serve(context: Context) -> None:
    """Serve until a signal ends it; each page runs an application of its own."""
    try:
        from lora_tui.tui.web import serve
    except ModuleNotFoundError as error:
        raise missing_extra("`lora-tui serve`", str(error.name), "web") from None
    host, port = context.arguments.host, context.arguments.port
    if port > _LAST_PORT:
        raise UsageError(f"There is no port {port}", remedy=f"the last one is {_LAST_PORT}")
    if not is_loopback(host):
        if not context.arguments.allow_others:
            raise UsageError(
                f"{host} can be reached from other machines, and the page is not encrypted",
                remedy="leave out --host and use an SSH tunnel, or add --allow-others",
            )
        if host in ("0.0.0.0", "::"):  # noqa: S104 - refused
            raise UsageError("--host takes one address", remedy="name the one that browsers use")
    _require_account(context)
    serve(
        _command(context),
        host,
        port,
        lambda link: _announce(context, link),
        lambda link: context.say(f"That link has been used. For another browser: {link}"),
    )


def _require_account(context: Context) -> None:
    """Report a missing account here rather than on each page."""
    if context.arguments.offline:
        context.cache_owner()
        return
    from lora_tui.engine.online import OnlineWriters

    with closing(OnlineWriters(context.profile)):
        pass


def _command(context: Context) -> str:
    """The command of each page. It gets secrets by the environment, which `ps` does not show."""
    arguments = context.arguments
    words = module_command("lora_tui")
    if arguments.profile:
        words += ["--profile", arguments.profile]
    if arguments.config:
        words += ["--config", str(arguments.config.absolute())]
    words += [flag for flag, given in _flags(context) if given]
    return f"exec {shlex.join(words)}"  # the shell that textual-serve starts makes way for it


def _flags(context: Context) -> tuple[tuple[str, bool], ...]:
    arguments = context.arguments
    return ("--offline", arguments.offline), ("--no-color", arguments.no_color)


def _announce(context: Context, link: str) -> None:
    if context.json:
        context.print_data({"url": link})
    else:
        context.out.write(f"{link}\n")
    context.out.flush()
    context.say(
        "Anybody who opens this link acts as you; it works in one browser. Ctrl+C stops it."
    )
