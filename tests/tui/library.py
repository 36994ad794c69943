"""A cache as a sync would have written it, and writers that need no network."""

from __future__ import annotations

import math
import sqlite3
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from lora_tui import clock
from lora_tui.adapters.inspection import Adapter
from lora_tui.cache import jobs, metadata, metrics, models, records, transfer_queue
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, open_existing, transaction
from lora_tui.cache.facets import FACETS
from lora_tui.cache.transfer_queue import TransferState
from lora_tui.clock import timestamp_text
from lora_tui.domain import CurvePoint, Model
from lora_tui.domain.answers import Answer, Contestant, Progress, Settings
from lora_tui.domain.servers import Vote
from lora_tui.engine.writers import (
    CommandToConfirm,
    EngineReport,
    HarvestState,
    LoadedText,
    ServerLine,
)
from lora_tui.errors import LoraTuiError, NotFoundError
from lora_tui.processes import new_identity
from lora_tui.transfers.control import Control

NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
USER: Final = "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71"
DATASETS: Final = (
    "Customer Support Emails",
    "SQL Assistant",
    "Radiology Reports",
    "Legal Clause Review",
    "Python Code Review",
)
VERDICTS: Final = (
    ("excellent", 5),
    ("good", 4),
    ("overfit", 3),
    ("fair", 3),
    ("poor", 1),
)
HOSTILE_NAMES: Final = (
    "\x1b[2J\x1b]0;owned\x07gone",
    "Invoices \u202egpj.exe\u202c",
    "[red]Markup[/red] [/unclosed [@click=app.quit]quit[/]",
    "A name that goes on " + "and on " * 30,
    "客户支持邮件 · 均衡预设 · 第三版 顧客サポート",
    "🦙 LoRA 🚀 👩\u200d💻 👍🏽 🇫🇷 emoji",
    "z\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308algo",
    "line\r\nbreak\ttab",
)


def identifier(kind: str, number: int) -> str:
    """The same id for the same thing in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind}-{number}"))


def model_row(number: int, **changes: Any) -> dict[str, Any]:
    """Model `number`, as the backend has it; 0 is the newest, each next a day older."""
    verdict, stars = VERDICTS[number % len(VERDICTS)]
    dataset = number % len(DATASETS)
    created = NOW - timedelta(days=number, hours=3)
    loss = 0.4 + 0.01 * number
    row = {
        "id": identifier("model", number),
        "user_id": USER,
        "job_id": identifier("job", number),
        "dataset_id": identifier("dataset", dataset),
        "name": f"{DATASETS[dataset]} - {created:%Y-%m-%d}",
        "version": "1.0.0",
        "status": "stored",
        "quality_metrics": {
            "overall_score": stars,
            "convergence_quality": verdict,
            "final_training_loss": loss,
            "final_validation_loss": loss + 0.2,
            "perplexity": math.exp(loss + 0.2),
            "loss_reduction_percent": 60.0,
        },
        "training_summary": {
            "epochs_completed": 3,
            "total_steps": 1500,
            "final_loss": loss,
            "training_duration_hours": 1 + 0.25 * number,
            "total_cost": round(2 + 1.37 * number, 2),
        },
        "configuration": {
            "preset_id": "balanced",
            "hyperparameters": {"base_model": "meta-llama/Llama-3.1-8B-Instruct"},
            "files": {"adapter_model.safetensors": {"size": 25_165_824, "sha256": "0" * 64}},
        },
        "artifacts": {"adapter_model.safetensors": f"{USER}/{number}/adapter_model.safetensors"},
        "created_at": timestamp_text(created),
        "updated_at": timestamp_text(created),
        "deleted_at": None,
    }
    return {**row, **changes}


def notice_row(number: int, *, read: bool = False, **changes: Any) -> dict[str, Any]:
    """Notification `number` about model `number`."""
    row = {
        "id": identifier("notice", number),
        "user_id": USER,
        "type": "artifact_ready",
        "title": "Model Ready for Download",
        "message": f"Your trained model is ready. Quality score: {1 + number % 5}/5 stars",
        "priority": "high",
        "read": read,
        "metadata": {"artifact_id": identifier("model", number)},
        "created_at": timestamp_text(NOW - timedelta(days=number)),
    }
    return {**row, **changes}


def curve(number: int) -> list[CurvePoint]:
    """A loss that falls; every fifth one runs away at the end."""
    points = []
    for step in range(120):
        loss = 0.4 + 2 * math.exp(-step / (8 + number % 7)) + 0.05 * math.sin(step * 1.7 + number)
        if number % 5 == 4 and step > 80:
            loss += (step - 80) * 0.08
        points.append(CurvePoint(step * 10.0, loss))
    return points


def set_transfer(
    db: sqlite3.Connection,
    transfer_id: int,
    state: TransferState,
    *,
    bytes_done: int | None = None,
    bytes_total: int | None = None,
    sha256: str | None = None,
    error: str | None = None,
    attempts: int | None = None,
) -> None:
    """Write the state of a transfer, whichever it has. Call inside a transaction."""
    db.execute(
        "UPDATE transfers SET state = ?, bytes_done = coalesce(?, bytes_done),"
        " bytes_total = coalesce(?, bytes_total), sha256 = coalesce(?, sha256), error = ?,"
        " attempts = coalesce(?, attempts), updated_at = ? WHERE id = ?",
        [
            state.value,
            bytes_done,
            bytes_total,
            sha256,
            error,
            attempts,
            timestamp_text(clock.now()),
            transfer_id,
        ],
    )


def recount_facets(db: sqlite3.Connection) -> None:
    """Count the models by facet, however they were inserted. Call inside a transaction."""
    db.execute("DELETE FROM model_counts")
    for facet in FACETS:
        sql = f"SELECT '{facet}', ifnull({facet}, ''), count(*) FROM models GROUP BY 2"
        db.execute(f"INSERT INTO model_counts {sql}")


_filled: Final[dict[object, bytes]] = {}


@dataclass
class Library:
    """The cache file of a test: writes to it are what a writer would have done."""

    path: Path

    def put_models(self, *rows: dict[str, Any], curves: bool = True) -> None:
        """Models, with their curves unless that takes too long."""
        with closing(open_cache(self.path)) as db, transaction(db, Topic.MODELS, Topic.CURVES):
            models.put_models(db, rows)
            for number, row in enumerate(rows if curves else ()):
                metrics.put_stored_curve(db, row["job_id"], curve(number))

    def put_notices(self, *rows: dict[str, Any]) -> None:
        """Notifications."""
        with closing(open_cache(self.path)) as db, transaction(db, Topic.NOTIFICATIONS):
            records.put_notifications(db, rows)

    def put_jobs(self, *rows: dict[str, Any]) -> None:
        """Training jobs."""
        with closing(open_cache(self.path)) as db, transaction(db, Topic.JOBS):
            jobs.put_jobs(db, rows)

    def put_state(
        self,
        *,
        synced: datetime | None = NOW - timedelta(minutes=5),
        running: bool = False,
        error: str | None = None,
        error_kind: metadata.SyncErrorKind | None = None,
    ) -> None:
        """How the last sync went."""
        state = metadata.SyncState(
            synced, synced, running=running, error=error, error_kind=error_kind
        )
        with closing(open_cache(self.path)) as db, transaction(db, Topic.SYNC):
            metadata.put_sync_state(db, state, process=new_identity())

    def put_transfer(self, *, done: int, total: int) -> None:
        """A file of model 0 on its way."""
        wanted = transfer_queue.FileRequest("weights", "path", self.path.parent / "weights", total)
        with closing(open_cache(self.path)) as db, transaction(db, Topic.TRANSFERS):
            transfer_queue.enqueue(db, identifier("model", 0), [wanted])
            (transfer,) = transfer_queue.active_transfers(db)
            running = transfer_queue.TransferState.RUNNING
            set_transfer(db, transfer.id, running, bytes_done=done)

    def delete_models(self, *numbers: int) -> None:
        """They are gone."""
        with closing(open_cache(self.path)) as db, transaction(db, Topic.MODELS):
            models.delete_models(db, [identifier("model", number) for number in numbers])

    def fill(self, count: int = 37) -> None:
        """An ordinary account, synced five minutes ago."""
        self.begin(count, lambda: self._fill(count))

    def begin(self, kind: object, write: Callable[[], None]) -> None:
        """Have `write` fill a cache that is not there yet: once a run, then a copy is put here."""
        if self.path.exists():
            write()
            return
        if kind not in _filled:
            write()
            _filled[kind] = self.path.read_bytes()
            return
        self.path.parent.mkdir(0o700, parents=True, exist_ok=True)
        self.path.touch(0o600)
        self.path.write_bytes(_filled[kind])

    def _fill(self, count: int) -> None:
        with closing(open_cache(self.path)) as db, transaction(db, Topic.DATASETS):
            records.put_datasets(
                db,
                [
                    {"id": identifier("dataset", number), "name": name}
                    for number, name in enumerate(DATASETS)
                ],
            )
        self.put_models(*(model_row(number) for number in range(count)))
        self.put_state()


@dataclass
class FakeWriters:
    """Remembers what it was asked for; does what the test says, in the caller's thread."""

    cache_path: Path | None = None
    """Where `mark_announced` notes what it was told; nowhere without it."""
    harvest: HarvestState = field(default_factory=HarvestState)
    report: EngineReport = field(default_factory=lambda: EngineReport(starting=False))
    proving: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    on_change: Callable[[], None] = lambda: None
    on_write: Callable[[], None] = lambda: None
    on_sync: Callable[[], None] = lambda: None
    on_download: Callable[[str], None] = lambda _model_id: None
    on_control: Callable[[Control, Sequence[int]], None] = lambda _what, _ids: None
    on_load_curve: Callable[[str], None] = lambda _job_id: None
    on_prove: Callable[[str, str], str] = lambda _model_id, _server: "changes the answers"
    on_cancel_job: Callable[[], str] = lambda: "The GPU worker cancels the job."
    on_refresh_servers: Callable[[], list[str] | None] = lambda: None
    servers: Sequence[ServerLine] = ()
    on_load: Callable[[str, bool], LoadedText | CommandToConfirm] = lambda _server, _confirmed: (
        LoadedText(True, ("It is loaded.",), "")
    )
    on_read_adapter: Callable[[str], Adapter] | None = None
    on_answers: Callable[[str, Sequence[Any]], None] = lambda _trial, _answers: None
    on_try: Callable[[str, Sequence[Contestant]], list[Answer]] = lambda _trial, asked: [
        Answer(Progress.DONE, f"The answer of {one.name}", 0.08, 40.0, 5, True, "stop")
        for one in asked
    ]
    tried_with: list[Settings] = field(default_factory=list)
    votes_kept: list[Vote] = field(default_factory=list)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    let_go: threading.Event = field(default_factory=threading.Event)
    """Set by `cancel_download`; a download of a test may wait for it."""

    def start(self) -> None:
        self.asked.append(("start",))

    def prove_model(self, model_id: str, server: str) -> str:
        self.asked.append(("prove_model", model_id, server))
        return self.on_prove(model_id, server)

    def cancel_proof(self, model_id: str) -> None:
        self.asked.append(("cancel_proof", model_id))

    def mark_announced(self, ids: Sequence[str]) -> None:
        if self.cache_path is not None:
            with closing(open_existing(self.cache_path)) as db, transaction(db):
                records.mark_announced(db, ids)

    def sync(self, *, full: bool = False, scheduled: bool = False) -> None:
        self.asked.append(("sync",))
        self.on_sync()

    def load_curve(self, job_id: str) -> None:
        self.asked.append(("load_curve", job_id))
        self.on_load_curve(job_id)

    def download(self, model_id: str, files: Sequence[str] | None = None) -> None:
        self.asked.append(("download", model_id, *(files or ())))
        self.on_download(model_id)

    def cancel_download(self, model_id: str) -> None:
        self.asked.append(("cancel_download", model_id))
        self.let_go.set()

    def list_servers(self) -> list[ServerLine]:
        return list(self.servers)

    def load_model(
        self, model_id: str, server: str, *, confirmed: bool = False
    ) -> LoadedText | CommandToConfirm:
        self.asked.append(("load_model", model_id, server, *(["confirmed"] if confirmed else [])))
        return self.on_load(server, confirmed)

    def unload_model(self, model_id: str, server: str) -> None:
        self.asked.append(("unload_model", model_id, server))

    def cancel_job(self, job_id: str) -> str:
        self.asked.append(("cancel_job", job_id))
        return self.on_cancel_job()

    def refresh_servers(self) -> list[str]:
        self.asked.append(("refresh_servers",))
        return self.on_refresh_servers() or []

    def resume_downloads(self, *, signed_in: bool = False) -> None:
        self.asked.append(("resume_downloads", *(["signed in"] if signed_in else [])))

    def control_downloads(self, what: Control, ids: Sequence[int]) -> None:
        self.asked.append(("control_downloads", what, *map(str, ids)))
        self.on_control(what, ids)

    def start_harvest(self) -> None:
        self.asked.append(("start_harvest",))

    def stop_harvest(self) -> None:
        self.asked.append(("stop_harvest",))

    def check_downloads(self) -> None:
        """The disk is as the cache says."""

    def save_text(self, name: str, text: str) -> Path:
        self.asked.append(("save_text", name, text))
        return Path("/data/models") / name

    def read_adapter(self, model: Model) -> Adapter:
        self.asked.append(("read_adapter", model.id))
        if self.on_read_adapter is None:
            raise NotFoundError("No safetensors file to inspect")
        return self.on_read_adapter(model.id)

    def try_models(
        self,
        trial: str,
        server: str,
        contestants: Sequence[Contestant],
        messages: Sequence[tuple[str, str]],
        settings: Settings,
    ) -> list[Answer]:
        names = (one.adapter or "base" for one in contestants)
        self.asked.append(("try_models", server, messages[-1][1], *names))
        self.tried_with.append(settings)
        return self.on_try(trial, contestants)

    def cancel_try(self, trial: str) -> None:
        self.asked.append(("cancel_try",))
        self.let_go.set()

    def note_vote(self, server: str, prompt: str, winner: str, contestants: Sequence[str]) -> None:
        self.votes_kept.append(
            Vote("owner", server, "http://gpu", "", prompt, winner, tuple(contestants))
        )

    def votes(self) -> list[Vote]:
        return list(self.votes_kept)

    def mark_notification_read(self, notification_id: str) -> None:
        self.asked.append(("mark_notification_read", notification_id))


def failing(error: LoraTuiError) -> Callable[..., None]:
    """A writer that raises."""

    def fail(*_arguments: object) -> None:
        raise error

    return fail
