"""What a screen may ask of the engine. Each call changes the cache, and the screen shows the cache.

Every call blocks, so it is made in a thread. Screens read progress and results from the cache; a
call returns nothing or little, or raises a LoraTuiError.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from lora_tui.errors import LoraTuiError, ending_error

if TYPE_CHECKING:  # the application makes the writers before its first frame, and asks after it
    from lora_tui.adapters.inspection import Adapter
    from lora_tui.cache.metadata import Owner
    from lora_tui.config.paths import Paths
    from lora_tui.config.table import Profile
    from lora_tui.domain import Model
    from lora_tui.domain.answers import Answer, Contestant, Settings
    from lora_tui.domain.servers import Vote
    from lora_tui.engine.process import Engine
    from lora_tui.engine.protocol import Event
    from lora_tui.secret import Secret
    from lora_tui.transfers.control import Control


class HarvestState(NamedTuple):
    """The harvest in the background, as the engine last told."""

    running: bool = False
    """Also while it stops."""
    stopping: bool = False
    """It stops after the current file."""
    error: LoraTuiError | None = None
    """Why it ended, if it failed."""


class CommandToConfirm(NamedTuple):
    """A command that runs on another machine only after the user has seen it."""

    command: str


class ServerLine(NamedTuple):
    """One server of the profile, for a menu."""

    name: str
    kind: str
    """A `ServerKind`; empty where it was never asked."""
    note: str
    """Its base model, or why it does not answer: what it said when it was last asked."""


class LoadedText(NamedTuple):
    """What loading has led to."""

    clear: bool
    """Whether it is loaded and changes the answers."""
    lines: tuple[str, ...]
    """Sentences."""
    commands: str
    """Shell commands that start llama-server with it; empty where it is loaded."""


class EngineReport(NamedTuple):
    """What the screen shows of the engine."""

    starting: bool = True
    error: LoraTuiError | None = None
    """Why it runs no more; `Writers.start` tries again."""
    restarts: int = 0
    """How often it was started again after an unexpected end."""
    waits_for_keyring: bool = False
    """Whether it has been waiting for the keyring for some seconds."""


class Writers:
    """The requests of the screens. Safe to call from any thread.

    The engine is made by the first call, or by `start`: its modules and its process would delay
    the first frame.
    """

    def __init__(self, make_engine: Callable[[], Engine], downloads_dir: Path) -> None:
        """`make_engine`: an engine that was not started yet. `downloads_dir`: see `save_text`."""
        self._make_engine, self._downloads_dir = make_engine, downloads_dir
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._closed = False
        self._readied = 0
        self.harvest = HarvestState()
        self.report = EngineReport()
        """Both are replaced whole: by the thread that reads the engine's answers, or, while that
        reads nothing, by the one that starts or ends the engine. So a screen may read them."""
        self.proving: Mapping[tuple[str, str], tuple[int, int]] = {}
        """Model and server → answers so far and of all, of each proof that goes on."""
        self.on_marks: Callable[[str], None] = lambda _: None
        """Called on another thread with a sentence about the file of one's own marks."""
        self.on_answers: Callable[[str, Sequence[Mapping[str, Any]]], None] = lambda _, __: None
        """Called on another thread with the name of a trial and all its answers so far, as
        `answers.to_document` has them."""
        self.on_change: Callable[[], None] = lambda: None
        """Called on another thread after `harvest`, `report` or `proving` has changed."""
        self.on_write: Callable[[], None] = lambda: None
        """Called on another thread after the engine has written what was asked for into the cache,
        also where its answer waits for the backend."""

    @classmethod
    def for_profile(
        cls,
        profile: Profile | None,
        owner: Owner | None,
        paths: Paths,
        *,
        config_file: Path | None = None,
        offline: bool = False,
    ) -> Self:
        """The writers with an engine process for this profile; None on the first run.

        `config_file`: the file of `--config`.
        """

        def make_engine() -> Engine:
            from lora_tui.engine.logs import engine_log
            from lora_tui.engine.process import Engine, start_process
            from lora_tui.engine.protocol import Hello

            name = profile.name if profile else None
            demo = (profile.identity if profile else None) or None
            hello = Hello(name, config_file, offline=offline, owner=owner, demo=demo)
            return Engine(lambda: start_process(engine_log(paths.state_dir)), hello)

        return cls(make_engine, profile.downloads_dir if profile else paths.downloads_dir)

    def start(self) -> None:
        """Start the engine, or try again where it had failed. Returns at once."""
        self._engine_now().start()

    def close(self) -> None:
        """End the engine: it parks downloads (the next start resumes them). Waits for its end."""
        with self._lock:
            self._closed = True
            engine = self._engine
        if engine is not None:
            engine.close()

    # The cache ----------------------------------------------------------------------------------

    def sync(self, *, full: bool = False, scheduled: bool = False) -> None:
        """Update the cache from the backend; if another process does it, return at once.

        `scheduled`: nobody asked for it, so another application on this cache may be the one that
        does it. Raises UnreachableError, AuthenticationError.
        """
        self._ask("sync", full=full, scheduled=scheduled)

    def load_curve(self, job_id: str) -> None:
        """Fetch new metric points of a job whose page, or whose model's page, is shown."""
        self._ask("load_curve", job_id=job_id)

    def mark_notification_read(self, notification_id: str) -> None:
        """Mark it as read in the cache, and in the backend if policies allow it."""
        self._ask("mark_notification_read", notification_id=notification_id)

    def mark_announced(self, ids: Sequence[str]) -> None:
        """Note that these notifications were shown as toasts."""
        self._ask("mark_announced", ids=list(ids))

    def cancel_job(self, job_id: str) -> str:
        """Cancel a training job at the GPU worker; what happens next, in words.

        The pipeline writes its status. Raises ConfigError without the worker's key, UsageError,
        NotFoundError, AuthenticationError, UnreachableError, BackendError.
        """
        return str(self._ask("cancel_job", job_id=job_id))

    # One's own marks -----------------------------------------------------------------------------

    def toggle_favorite(self, models: Mapping[str, str]) -> tuple[bool, int]:
        """Make models (id → name) favorites; if all are, none. Whether they are, how many changed.

        As all calls for marks, it raises DiskError where the file can't be written, and UsageError
        where it must not be: it is of a newer version.
        """
        wanted, changed = self._ask("toggle_favorite", models=dict(models))
        return bool(wanted), int(changed)

    def change_tags(
        self, models: Mapping[str, str], *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> None:
        """Add and remove tags of models (id → name). Raises UsageError for text that is no tag."""
        self._ask("change_tags", models=dict(models), add=list(add), remove=list(remove))

    def set_note(self, model_id: str, name: str, text: str, *, before: str) -> None:
        """Write the note of a model, or remove it. Raises UsageError where it is too long.

        Raises CacheError where the note is no longer `before`.
        """
        self._ask("set_note", model_id=model_id, name=name, text=text, before=before)

    def move_alias(self, alias: str, model_id: str, name: str, *, before: str) -> None:
        """Let an alias name a model. Raises UsageError for text that is no alias.

        Raises CacheError where it no longer names the model `before` (empty: none).
        """
        self._ask("move_alias", alias=alias, model_id=model_id, name=name, before=before)

    def remove_alias(self, alias: str, *, before: str) -> None:
        """Let an alias name nothing; its history stays.

        Raises NotFoundError, and CacheError where it no longer names the model `before`.
        """
        self._ask("remove_alias", alias=alias, before=before)

    # One's own models in the project --------------------------------------------------------------

    def rename_model(self, model_id: str, name: str, *, seen: str) -> None:
        """Give a model another name, if it is still as the user saw it (`updated_at`).

        As all calls for one's own models, it raises NotMigratedError where the project lets nobody
        change them, CacheError where the model was changed meanwhile, and UnreachableError.
        """
        self._ask("rename_model", model_id=model_id, name=name, seen=seen)

    def describe_model(self, model_id: str, text: str, *, seen: str) -> None:
        """Write the description of a model, or remove it. Raises UsageError: it is too long."""
        self._ask("describe_model", model_id=model_id, text=text, seen=seen)

    def keep_models(self, act: str, models: Mapping[str, str]) -> str | None:
        """Do an `Act` of engine/keeping.py to models (id → `updated_at` that the user saw).

        Returns what a restored model has lost, if so. Raises PartlyFailedError.
        """
        lost = self._ask("keep_models", act=act, models=dict(models))
        return None if lost is None else str(lost)

    # Servers that load adapters ------------------------------------------------------------------

    def refresh_servers(self) -> list[str]:
        """Ask all servers of the profile what they have loaded, and keep it in the cache.

        Returns sentences about models that servers were thought to have. Raises UnreachableError
        with --offline, ConfigError where a server of the file is wrong.
        """
        return [str(one) for one in self._ask("refresh_servers")]

    # Downloads ----------------------------------------------------------------------------------

    def download(self, model_id: str, files: Sequence[str] | None = None) -> None:
        """Download all files of a model, or those named; returns when they are done or failed.

        Raises PartlyFailedError, NotFoundError, IntegrityError, DiskError, UnreachableError.
        """
        self._ask("download", model_id=model_id, files=None if files is None else list(files))

    def cancel_download(self, model_id: str) -> None:
        """Cancel the download of a model; partial files are kept for a resume."""
        self._ask("cancel_download", model_id=model_id)

    def resume_downloads(self, *, signed_in: bool = False) -> None:
        """Fetch what is queued, now and later; returns at once. Does nothing offline.

        `signed_in`: after a sign-in, also what failed because no session was valid.
        """
        self._ask("resume_downloads", signed_in=signed_in)

    def control_downloads(self, what: Control, ids: Sequence[int]) -> None:
        """Pause, resume, cancel, move or forget files of the queue."""
        self._ask("control_downloads", what=what.value, ids=list(ids))

    def check_downloads(self) -> None:
        """Check whether downloaded files still exist unchanged. No network."""
        self._ask("check_downloads")

    def read_adapter(self, model: Model) -> Adapter:
        """Read the header of a model's weights in the bucket, a few kilobytes.

        Raises IntegrityError, NotFoundError, UsageError, UnreachableError, BackendError.
        """
        from lora_tui.adapters.inspection import adapter_from

        return adapter_from(self._ask("read_adapter", model_id=model.id), model)

    def save_text(self, name: str, text: str) -> Path:
        """Write a text into the downloads directory, under an unused name. Without the engine.

        Raises DiskError.
        """
        from lora_tui.reports.exports import write_new_file

        return write_new_file(self._downloads_dir, name, text)

    # Servers ------------------------------------------------------------------------------------

    def list_servers(self) -> list[ServerLine]:
        """The servers of the profile, with what is known of them. No network. ConfigError."""
        return [ServerLine(*line) for line in self._ask("list_servers")]

    def load_model(
        self, model_id: str, server: str, *, confirmed: bool = False
    ) -> LoadedText | CommandToConfirm:
        """Deliver a model to a server, load it, and prove its effect.

        Without `confirmed` the answer may be a command that would run on the server's machine: show
        it, then ask again. Raises UsageError, UnreachableError, BackendError with the server's own
        words, and what a download raises.
        """
        answer = self._ask("load_model", model_id=model_id, server=server, confirmed=confirmed)
        if "confirm" in answer:
            return CommandToConfirm(str(answer["confirm"]))
        return LoadedText(bool(answer["clear"]), tuple(answer["lines"]), str(answer["commands"]))

    def unload_model(self, model_id: str, server: str) -> None:
        """Unload it. Raises NotFoundError where the server does not have it, UnreachableError."""
        self._ask("unload_model", model_id=model_id, server=server)

    # The account --------------------------------------------------------------------------------

    def check_project(self, url: str, anon_key: str) -> None:
        """See `login.check_project`."""
        self._ask("check_project", url=url, anon_key=anon_key)

    def connect_project(
        self, name: str, url: str, anon_key: str, *, email: str, password: Secret, token: Secret
    ) -> str:
        """Sign in to a project that no profile has yet, and add the profile.

        Returns where the session is kept. Raises like `login.Login.with_password`.
        """
        typed = {"email": email, "password": password.reveal(), "token": token.reveal()}
        return str(self._ask("connect_project", name=name, url=url, anon_key=anon_key, **typed))

    def sign_in(self, email: str, *, password: Secret, token: Secret) -> str:
        """Sign in by password, or by a token where one is given; where the session is kept."""
        return str(
            self._ask("sign_in", email=email, password=password.reveal(), token=token.reveal())
        )

    def sign_out(self) -> str | None:
        """End the session here and at the backend; why the backend could not be told, if so."""
        reason = self._ask("sign_out")
        return None if reason is None else str(reason)

    # The harvest --------------------------------------------------------------------------------

    def start_harvest(self) -> None:
        """Start the harvest in the background, unless it runs. Raises ConfigError, DiskError."""
        self._ask("start_harvest")

    def stop_harvest(self) -> None:
        """Stop it after the current file; returns at once."""
        self._ask("stop_harvest")

    def retry_harvest(self, job_ids: Sequence[str]) -> None:
        """Retry failed jobs, at once if the harvest runs."""
        self._ask("retry_harvest", job_ids=list(job_ids))

    # Servers ------------------------------------------------------------------------------------

    def prove_model(self, model_id: str, server: str) -> str:
        """Prove that a server's answers change with a model; what was found, as a sentence.

        The result is kept and copied into the cache. Raises NotFoundError where it is not loaded
        there, CancelledError, UnreachableError, AuthenticationError, BackendError.
        """
        return str(self._ask("prove_model", model_id=model_id, server=server))

    def cancel_proof(self, model_id: str) -> None:
        """Cancel the proofs of a model; nothing is kept of them."""
        self._ask("cancel_proof", model_id=model_id)

    # Try ----------------------------------------------------------------------------------------

    def try_models(
        self,
        trial: str,
        server: str,
        contestants: Sequence[Contestant],
        messages: Sequence[tuple[str, str]],
        settings: Settings,
    ) -> list[Answer]:
        """Ask models of a server the same; `on_answers` gets what comes, with the name `trial`.

        Returns the answers when all have ended; each has its own error. `messages`: role and
        content of each. Raises NotFoundError, ConfigError, UnreachableError with --offline.
        """
        from lora_tui.domain.answers import from_document

        documents = self._ask(
            "try_models",
            trial=trial,
            server=server,
            contestants=[list(one) for one in contestants],
            messages=[list(one) for one in messages],
            settings=list(settings),
        )
        return [from_document(document) for document in documents]

    def cancel_try(self, trial: str) -> None:
        """End a trial; what came stays. Does nothing where it has ended."""
        self._ask("cancel_try", trial=trial)

    def note_vote(self, server: str, prompt: str, winner: str, contestants: Sequence[str]) -> None:
        """Keep a blind choice: the id of the winner, empty for a tie, among these. See `Vote`."""
        self._ask(
            "note_vote",
            server=server,
            prompt=prompt,
            winner=winner,
            contestants=list(contestants),
        )

    def votes(self) -> list[Vote]:
        """All blind choices of this account, the oldest first. Raises DiskError."""
        from lora_tui.domain.servers import Vote

        rows = self._ask("votes")
        return [Vote._make((*row[:6], tuple(row[6]))) for row in rows]

    # What they share ----------------------------------------------------------------------------

    def _ask(self, request: str, /, **arguments: Any) -> Any:
        return self._engine_now().call(request, **arguments)

    def _engine_now(self) -> Engine:
        with self._lock:
            if self._closed:
                raise ending_error()
            if self._engine is None:
                self._engine = self._make_engine()
                self._engine.on_event = self._take_event
                self._engine.on_state = self._take_state
            return self._engine

    def _take_event(self, event: Event) -> None:
        from lora_tui.engine.protocol import (
            CACHE,
            HARVEST,
            KEYRING,
            MARKS,
            PROVING,
            TRYING,
            error_of,
        )

        if event.name == TRYING:
            self.on_answers(event.data["trial"], event.data["answers"])
            return
        if event.name == CACHE:
            self.on_write()
            return
        if event.name == MARKS:
            self.on_marks(str(event.data))
            return
        if event.name == PROVING:
            data = event.data
            place = (str(data["model_id"]), str(data["server"]))
            others = {at: far for at, far in self.proving.items() if at != place}
            now = {place: (int(data["done"]), int(data["of"]))} if data["of"] else {}
            self.proving = {**others, **now}
        elif event.name == HARVEST:
            error = event.data["error"]
            self.harvest = HarvestState(
                event.data["running"], event.data["stopping"], error_of(error) if error else None
            )
        elif event.name == KEYRING:
            self.report = self.report._replace(waits_for_keyring=bool(event.data))
        self.on_change()

    def _take_state(self) -> None:
        from lora_tui.engine.process import EngineState

        engine = self._engine
        if engine is None:
            return
        if engine.state is EngineState.READY:
            self._readied += 1
        else:
            self.harvest, self.proving = HarvestState(), {}
        self.report = EngineReport(
            engine.state is EngineState.STARTING, engine.error, max(0, self._readied - 1)
        )
        self.on_change()
