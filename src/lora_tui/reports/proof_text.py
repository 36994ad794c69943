"""What a proof of effect has shown, as one sentence: the only place that formats it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from lora_tui import formats
from lora_tui.clock import parse_timestamp
from lora_tui.domain.servers import Loaded, Proof, Verdict
from lora_tui.text import terminal_safe

_UNKNOWN: Final = "not proved yet"


def proof_sentence(proof: Proof | None, *, version: str = "") -> str:
    """The verdict with its figures, without a full stop; `version` is what is loaded now.

    `changes the answers, 0.21 nats a token (noise 0.003)`, `loaded without effect: B is zero in
    all 14 modules`, `can't tell: …`. Of a proof of another version than `version` it says so.
    """
    if proof is None:
        return _UNKNOWN
    text = _verdict(proof)
    if version and proof.version and proof.version != version:
        shown = terminal_safe(proof.version, limit=40)
        return f"not proved yet; an earlier version ({shown}): {text}"
    return text


def proof_notes(proof: Proof) -> tuple[str, ...]:
    """Further sentences: the warning, and the reasons that `proof_sentence` has no room for."""
    warning = [proof.warning] if proof.warning else []
    reasons = proof.reasons if proof.verdict == Verdict.EFFECT else proof.reasons[1:]
    return tuple(terminal_safe(note, limit=500) for note in (*warning, *reasons))


def served_lines(
    loaded: Sequence[Loaded], proofs: Sequence[Proof], now: datetime
) -> list[tuple[str, str]]:
    """Server → where a model is loaded, since when, and what was proved there; a line for each.

    A proof on a server that has it no longer says so. Notes follow their line, without a server.
    """
    lines: list[tuple[str, str]] = []
    shown = set[Proof]()
    for one in loaded:
        proof = proof_of(proofs, one)
        name, since = terminal_safe(one.name, limit=80), formats.age(_moment(one.loaded_at), now)
        text = proof_sentence(proof, version=one.version)
        lines.append((one.server, f"loaded {since} as {name}: {text}"))
        if proof is not None:
            shown.add(proof)
            lines += [("", note) for note in proof_notes(proof)]
    for proof in proofs:
        if proof not in shown:
            asked = formats.age(_moment(proof.proved_at), now)
            name = terminal_safe(proof.name, limit=80)
            lines.append((proof.server, f"asked {asked} as {name}: {proof_sentence(proof)}"))
            lines += [("", note) for note in proof_notes(proof)]
    return lines


def proof_data(proof: Proof) -> dict[str, Any]:
    """A proof as JSON has it, with its sentence and without the account."""
    data = {**proof._asdict(), "reasons": list(proof.reasons), "sentence": proof_sentence(proof)}
    del data["owner"]
    return data


def loaded_data(loaded: Loaded) -> dict[str, Any]:
    """Where a model is loaded, as JSON has it, without the account."""
    data = loaded._asdict()
    del data["owner"]
    return data


def proof_of(proofs: Sequence[Proof], loaded: Loaded) -> Proof | None:
    """The proof of a model on the server that has it loaded; None where there is none."""
    return next(
        (
            proof
            for proof in proofs
            if (proof.server, proof.url, proof.model_id)
            == (loaded.server, loaded.url, loaded.model_id)
        ),
        None,
    )


def _moment(text: str) -> datetime | None:
    return parse_timestamp(text) if text else None


def _verdict(proof: Proof) -> str:
    reason = terminal_safe(proof.reasons[0], limit=500) if proof.reasons else ""
    because = f": {reason}" if reason else ""
    if proof.verdict == Verdict.EFFECT:
        found = formats.significant(proof.difference)
        doubt = ", but probably into garbage" if proof.warning else ""
        noise = formats.significant(proof.noise)
        return f"changes the answers{doubt}, {found} nats a token (noise {noise})"
    if proof.verdict == Verdict.NO_EFFECT:
        return f"loaded without effect{because}"
    return f"can't tell whether it changes the answers{because}"
