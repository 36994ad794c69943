"""`prove`: shows that an adapter on a server changes its answers, or why it does not."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_tui.cache.models import require_model
from lora_tui.commands.context import Context, resolve
from lora_tui.commands.prose import label_lines
from lora_tui.commands.style import width_of
from lora_tui.config.kinds import expanded
from lora_tui.deployments.record import owner_key
from lora_tui.domain.servers import Proof, Verdict
from lora_tui.errors import ExitCode
from lora_tui.reports.proof_text import proof_data, proof_notes, proof_sentence

if TYPE_CHECKING:
    from lora_tui.adapters.inspection import Adapter


def prove(context: Context) -> ExitCode:
    """Ask the server with and without the adapter, keep what was found, and print it.

    Returns OK for an effect, INTEGRITY where there is none or the answers seem to be garbage, and
    PARTLY_FAILED where it can't be told.
    """
    arguments = context.arguments
    from lora_tui.serving.probe import probes_of  # late: with it come the clients
    from lora_tui.serving.prove import Asking, prove_on

    file: Path | None = expanded(arguments.prompts, "The path") if arguments.prompts else None
    probes = probes_of(file)
    with context.cache() as db:
        model = require_model(db, resolve(db, arguments.model).id)
        context.require_network()
        asking = Asking(
            probes, lambda: _read_header(context, model.id), progress=_progress(context)
        )
        try:
            proof = prove_on(
                context.profile,
                arguments.on,
                model,
                owner=owner_key(context.profile, context.cache_owner().user_id),
                db=db,
                name=arguments.served_as or "",
                asking=asking,
            )
        finally:
            if context.can_redraw:
                context.talk.rewrite_line("")
    if context.json:
        context.print_data(proof_data(proof))
    else:
        _print(context, proof, model.name)
    if proof.verdict == Verdict.EFFECT and not proof.warning:
        return ExitCode.OK
    return ExitCode.PARTLY_FAILED if proof.verdict == Verdict.UNCLEAR else ExitCode.INTEGRITY


def _print(context: Context, proof: Proof, model_name: str) -> None:
    sentence = proof_sentence(proof)
    lines = [
        ("Model", model_name),
        ("Server", f"{proof.server}, as {proof.name}"),
        ("Asked", f"{proof.prompts} prompts, {proof.tokens} tokens, with and without it"),
        ("Result", f"{sentence[0].upper()}{sentence[1:]}"),
        *(("Why" if proof.verdict != Verdict.EFFECT else "Note", x) for x in proof_notes(proof)),
    ]
    for label, value in lines:
        parts = label_lines(label, value, width_of(context))
        context.out.writelines(f"{part}\n" for part in parts)


def _progress(context: Context) -> Any:
    def show(done: int, of: int) -> None:
        if context.can_redraw:
            context.talk.rewrite_line(f"Asking: {done} of {of}")

    return show


def _read_header(context: Context, model_id: str) -> Adapter:
    from lora_tui.engine.online import OnlineWriters

    with closing(OnlineWriters(context.profile)) as online:
        return online.read_adapter(model_id)
