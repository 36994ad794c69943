"""Loads and unloads models, for commands and screens: servers, session and project together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from sqlite3 import Connection

from lora_tui.adapters.inspection import Adapter
from lora_tui.cache.models import require_model
from lora_tui.config.servers import find_server
from lora_tui.config.table import Profile
from lora_tui.deployments.record import open_deployments, owner_key
from lora_tui.domain import ArtifactFile, Model
from lora_tui.domain.servers import Loaded, Verdict
from lora_tui.engine.online import OnlineWriters
from lora_tui.errors import LoraTuiError
from lora_tui.keeping.change import ARCHIVED, DEPLOYED, change_model, deploying, undeploying
from lora_tui.reports.proof_text import proof_notes, proof_sentence
from lora_tui.secret import Secret
from lora_tui.serving.connect import open_server
from lora_tui.serving.load import load, script_of
from lora_tui.serving.tools import LoadOptions, Outcome, Project, Tools
from lora_tui.serving.unload import forget, still_loaded, unload
from lora_tui.text import terminal_safe


class SignedInProject(Project):
    """The project of a signed-in user. It is connected when it is first asked for something: a
    model that is on this disk is loaded without it."""

    def __init__(
        self,
        connect: Callable[[], OnlineWriters],
        db: Connection,
        fetch: Callable[[OnlineWriters, Model, Path], None] | None = None,
    ) -> None:
        """`fetch` downloads in place of our own, to show its progress."""
        self._connect, self._db, self._fetch = connect, db, fetch or _fetch

    def fetch(self, model: Model, directory: Path) -> None:
        """Download all files, verified."""
        self._fetch(self._connect(), model, directory)

    def stamp_of(self, file: ArtifactFile) -> str | None:
        """The ETag of a file; None where the storage does not tell."""
        return self._connect().etag_of(file.path)

    def sign_many(self, paths: Sequence[str]) -> Mapping[str, str | LoraTuiError]:
        """A link, or the reason why there is none, of each path."""
        return self._connect().sign_many(paths)

    def read_header(self, model: Model) -> Adapter:
        """The header of the weights in the bucket."""
        return self._connect().read_adapter(model.id)

    def note_status(self, model: Model, *, deployed: bool) -> str | None:
        """Note in the project whether a server has the model; why that is not possible, if so."""
        changes = deploying() if deployed else undeploying()
        if model.status == ARCHIVED:  # it stays so; `restore` takes from the moment what it was
            if deployed or model.deployed_at is None:
                return None
            changes = {"deployed_at": None}
        elif (model.status == DEPLOYED) is deployed:
            return None
        try:
            online = self._connect()
            change_model(online.rest, self._db, online.user_id, model.id, changes)
        except LoraTuiError as error:
            shown = "is" if deployed else "is no longer"
            remedy = f". {error.remedy[:1].upper()}{error.remedy[1:]}" if error.remedy else ""
            return f"The project was not told that it {shown} deployed: {error}{remedy}."
        return None


def tools_of(
    profile: Profile,
    user_id: str,
    db: Connection,
    project: Project,
    *,
    say: Callable[[str], None],
    confirm: Callable[[str, Secret], bool],
    proving: Callable[[int, int], None] = lambda _done, _of: None,
    has_terminal: bool = False,
    check_stop: Callable[[], None] = lambda: None,
) -> Tools:
    """What loading needs, for one account of a profile."""
    return Tools(
        paths=profile.paths,
        owner=owner_key(profile, user_id),
        db=db,
        downloads=profile.downloads_dir,
        project=project,
        say=say,
        confirm=confirm,
        proving=proving,
        has_terminal=has_terminal,
        check_stop=check_stop,
    )


def load_model(
    profile: Profile, server: str, model_id: str, options: LoadOptions, tools: Tools
) -> Outcome:
    """Load a model into the server of this name. Raises what `serving.load.load` raises."""
    model = require_model(tools.db, model_id)
    found = find_server(profile, server)
    with closing(open_server(profile, server)) as client:
        return load(model, found, client, options, tools)


def script_for(
    profile: Profile, server: str, model_id: str, options: LoadOptions, tools: Tools
) -> tuple[Secret, str]:
    """The script that delivers a model there, and what it does. Raises as `script_of` does."""
    return script_of(
        require_model(tools.db, model_id), find_server(profile, server), options, tools
    )


def outcome_lines(outcome: Outcome) -> list[str]:
    """What loading has led to, as sentences: first what is loaded, then the proof, then remarks."""
    loaded, proof, lines = outcome.loaded, outcome.proof, []
    if loaded is not None:
        was = "was loaded already" if outcome.was_there else "is loaded"
        shown = terminal_safe(loaded.model_name, limit=120)
        lines.append(f"{shown} {was} on {loaded.server}.")
    if proof is not None:
        sentence = proof_sentence(proof)
        lines += [
            f"{sentence[0].upper()}{sentence[1:]}.",
            *(f"{note.removesuffix('.')}." for note in proof_notes(proof)),
        ]
    if loaded is not None and proof is not None and proof.verdict == Verdict.NO_EFFECT:
        lines.append(
            "It stays loaded, but requests for it are answered as by the base model:"
            f" `lora-tui unload {loaded.model_id[:8]} --from {loaded.server}` takes it away."
        )
    if outcome.proof_error is not None:
        lines.append(f"Its effect was not proved: {outcome.proof_error}.")
    return [*lines, *outcome.remarks]


def is_clear(outcome: Outcome) -> bool:
    """Whether it is loaded, and nothing speaks against its effect."""
    proof = outcome.proof
    if outcome.loaded is None or outcome.proof_error is not None:
        return False
    return proof is None or (proof.verdict == Verdict.EFFECT and not proof.warning)


def unload_model(profile: Profile, server: str, model_id: str | None, tools: Tools) -> list[Loaded]:
    """Unload a model, or with None all of this account, from the server of this name.

    Raises what `serving.unload.unload` raises.
    """
    model = None if model_id is None else require_model(tools.db, model_id)
    found = find_server(profile, server)
    with closing(open_server(profile, server)) as client:
        unloaded = unload(model, found, client, tools)
    for one in dict.fromkeys(row.model_id for row in unloaded):
        note_unloaded(one, tools)
    return unloaded


def forget_model(server: str, model_id: str | None, tools: Tools) -> list[Loaded]:
    """Forget what a server has of a model, or with None of this account, without asking it."""
    with open_deployments(tools.paths) as deployments:
        rows = [
            row
            for row in deployments.loaded(tools.owner, server=server)
            if model_id in (None, row.model_id)
        ]
    for row in rows:
        forget(row, tools)
    for one in dict.fromkeys(row.model_id for row in rows):
        note_unloaded(one, tools)
    return rows


def note_unloaded(model_id: str, tools: Tools) -> None:
    """Take the status back in the project where no server has the model any more."""
    if still_loaded(model_id, tools):
        return
    try:
        model = require_model(tools.db, model_id)
    except LoraTuiError:
        return  # it was deleted meanwhile
    said = tools.project.note_status(model, deployed=False)
    if said:
        tools.say(said)


def _fetch(online: OnlineWriters, model: Model, directory: Path) -> None:
    online.download(model.id, directory=directory)
