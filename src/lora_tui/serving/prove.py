"""Proves the effect of a model that a server has loaded, and keeps what was found."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lora_tui import clock
from lora_tui.adapters.inspection import Adapter, find_weights, read_local
from lora_tui.adapters.weight_facts import summarise
from lora_tui.cache.downloaded import downloaded_to
from lora_tui.config.paths import Paths
from lora_tui.config.servers import find_server
from lora_tui.config.table import Profile
from lora_tui.deployments.copy import refresh_served
from lora_tui.deployments.record import is_recorded, open_deployments
from lora_tui.domain import Model, WeightSummary
from lora_tui.domain.servers import Loaded, Proof, ServerState, Verdict
from lora_tui.errors import CancelledError, LoraTuiError, UnreachableError
from lora_tui.serving.client import Client
from lora_tui.serving.connect import open_server
from lora_tui.serving.effect import Measured, Progress, prove
from lora_tui.serving.no_effect import KnownFiles, base_mismatch, likely_reasons
from lora_tui.serving.probe import BUILT_IN
from lora_tui.serving.server_names import find_loaded, server_paths
from lora_tui.text import terminal_safe

_LONGEST: Final = 500
_CONTRADICTION: Final = (
    "The answers differ, although B is zero in every module: the server may answer the base model"
    " with another adapter, as vLLM on a CPU does while somebody uses that. Try again while nobody"
    " else uses the server"
)


@dataclass(frozen=True)
class Asking:
    """How a proof is made, beside what is proved."""

    probes: Sequence[str] = BUILT_IN
    read_header: Callable[[], Adapter] | None = None
    """Reads the header in the bucket, where the files are not on this machine."""
    progress: Progress = lambda _done, _all: None
    check_stop: Callable[[], None] = lambda: None
    """Called before each request and between tensors; may raise."""


def prove_on(
    profile: Profile, server: str, model: Model, *, owner: str, db: sqlite3.Connection,
    name: str = "", asking: Asking = Asking(),
) -> Proof:  # fmt: skip
    """Prove the effect of a model on a server of the profile, and keep the result.

    `owner`: `record.owner_key` of the account. `name`: what the server calls it, where it is not
    what lora-tui has loaded. Raises what `open_server`, `find_loaded` and `prove_model` raise.
    """
    known: Sequence[Loaded] = ()
    if is_recorded(profile.paths):
        with open_deployments(profile.paths) as deployments:
            known = deployments.loaded(owner, server=server)
    chosen = find_server(profile, server)
    directory = downloaded_to(db, model.id)
    with open_server(profile, server) as client:
        state = client.state()
        if not state.answers:
            raise UnreachableError(f"{server} does not answer", details=state.error or chosen.url)
        wanted = Loaded(
            owner=owner,
            server=server,
            url=chosen.url,
            name=name,
            model_id=model.id,
            model_name=model.name,
            version="",
            server_path="",
            directory=str(directory or ""),
            loaded_at="",
        )
        if name:
            loaded = next((row for row in known if row[:6] == wanted[:6]), wanted)
        else:
            loaded = find_loaded(known, state, wanted, server_paths(db, model.id, chosen))
        paths = profile.paths
        return prove_model(client, loaded, model=model, paths=paths, db=db, asking=asking)


def prove_model(
    client: Client, loaded: Loaded, *, model: Model | None, paths: Paths, db: sqlite3.Connection,
    asking: Asking = Asking(),
) -> Proof:  # fmt: skip
    """Prove it, keep the result in the record of deployments, and copy that into the cache.

    `model`: its row, for the summary of its weights. Raises what `effect.prove` raises, and
    DiskError, CacheError; then nothing is kept.
    """
    measured = prove(
        client,
        loaded.name,
        probes=asking.probes,
        progress=asking.progress,
        check_stop=asking.check_stop,
    )
    proof = _proof(loaded, measured)
    stored = model.weights if model is not None else None
    if measured.verdict is Verdict.EFFECT and _changes_nothing(stored):
        proof = proof._replace(verdict=str(Verdict.UNCLEAR), reasons=(_CONTRADICTION,))
    elif measured.verdict is not Verdict.EFFECT or measured.warning:
        state = client.state()
        files = known_files(
            [Path(loaded.directory) if loaded.directory else None,
             downloaded_to(db, loaded.model_id)],
            stored,
            asking,
        )  # fmt: skip
        proof = _explained(proof, measured, files, client, state)
    with open_deployments(paths) as deployments:
        deployments.note_proof(proof)
    refresh_served(db, paths, loaded.owner)
    return proof


def known_files(
    places: Sequence[Path | None], stored: WeightSummary | None, asking: Asking
) -> KnownFiles:
    """What can be known of the adapter: from a directory of `places`, else from its header.

    `stored`: the summary of the weights in the model's row. What can't be read is left out: it is
    only looked for to explain a result.
    """
    for place in places:
        if place is None or not place.is_dir():
            continue
        with suppress(LoraTuiError):
            adapter = read_local(place)
            return KnownFiles(adapter, _weights_in(place, asking) or stored)
    adapter_there = None
    if asking.read_header is not None:
        with suppress(LoraTuiError):
            adapter_there = asking.read_header()
    return KnownFiles(adapter_there, stored)


def _weights_in(directory: Path, asking: Asking) -> WeightSummary | None:
    from lora_tui.adapters.weights import measure_file  # late: loads numpy

    try:
        return summarise(measure_file(*find_weights(directory), check_stop=asking.check_stop))
    except CancelledError:
        raise
    except (LoraTuiError, MemoryError, ArithmeticError, ValueError):
        return None


def _changes_nothing(weights: WeightSummary | None) -> bool:
    return weights is not None and weights.has_no_effect and not weights.other_tensors


def _proof(loaded: Loaded, measured: Measured) -> Proof:
    return Proof(
        owner=loaded.owner,
        model_id=loaded.model_id,
        server=loaded.server,
        url=loaded.url,
        name=loaded.name,
        version=loaded.version,
        verdict=str(measured.verdict),
        difference=measured.difference,
        noise=measured.noise,
        prompts=measured.prompts,
        tokens=measured.tokens,
        reasons=(measured.reason,) if measured.reason else (),
        warning=measured.warning,
        proved_at=clock.timestamp_text(clock.now()),
    )


def _explained(
    proof: Proof, measured: Measured, files: KnownFiles, client: Client, state: ServerState
) -> Proof:
    if measured.verdict is Verdict.EFFECT:
        mismatch = base_mismatch(files, state.base)
        warning = f"{proof.warning}. {mismatch}" if mismatch else proof.warning
        return proof._replace(warning=terminal_safe(warning, limit=_LONGEST))
    explained = measured.verdict is Verdict.NO_EFFECT
    reasons = likely_reasons(files, client.kind, state.base, explained=explained)
    shown = (terminal_safe(reason, limit=_LONGEST) for reason in (*proof.reasons, *reasons))
    return proof._replace(reasons=tuple(shown))
