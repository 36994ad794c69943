"""Builds the rows that a harvest writes. Pure functions: one job always gives the same rows."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
import uuid
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, overload

from lora_tui.clock import parse_timestamp
from lora_tui.curves.downsample_and_smooth import downsample
from lora_tui.domain import CurvePoint, MetricPoint, Quality, StepLoss, finite, usable_loss
from lora_tui.gateway.gpu import MalformedJobError
from lora_tui.json_values import Row, mapping, number
from lora_tui.quality import calculate_quality_metrics

NAMESPACE: Final = uuid.UUID("5b0ad6ff-7f0c-4b0f-9c39-6f6b6a0a1d52")
"""Never change it: all ids of a harvest are derived from it."""
MOST_CURVE_POINTS: Final = 200
_LONGEST_NAME: Final = 200
_TAKEN_AS_IT_IS: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9 !&$@=+,;:'()._-]{0,199}", re.ASCII)
"""Names that the bucket accepts in every kind of request."""


@dataclass(frozen=True)
class StoredFile:
    """A file of an artifact, in the bucket."""

    name: str
    path: str
    size: int
    """Bytes."""
    sha256: str
    sent: bool = True
    """False where it existed before."""
    etag: str | None = None
    """Of the object, as `etag_value` gives it; None where it need not stay the same."""
    told_by_worker: bool = False
    """Whether the SHA-256 is what the worker says; only its ETag was compared (in_bucket.py)."""

    def in_row(self) -> dict[str, Any]:
        """The file's entry in `configuration.files` of the model's row."""
        entry: dict[str, Any] = {"size": self.size, "sha256": self.sha256}
        return entry | {"sha256_by": "worker"} if self.told_by_worker else entry


@dataclass(frozen=True)
class Identity:
    """A job, its owner, and the id and name of its artifact."""

    job_id: str
    user_id: str
    dataset_id: str
    external_job_id: str
    artifact_id: str
    name: str
    completed_at: str | None

    @classmethod
    def of(cls, job: Row) -> Identity:
        """Read a job's row. Raises MalformedJobError where it names no owner or no dataset."""
        try:
            job_id, user_id, dataset_id = (
                str(uuid.UUID(str(job.get(column)))) for column in ("id", "user_id", "dataset_id")
            )
        except ValueError:
            raise MalformedJobError("The job names no owner or no dataset") from None
        return cls(
            job_id=job_id,
            user_id=user_id,
            dataset_id=dataset_id,
            external_job_id=str(job.get("external_job_id") or ""),
            artifact_id=artifact_id_of(job_id),
            name=model_name(job),
            completed_at=job["completed_at"] if isinstance(job.get("completed_at"), str) else None,
        )

    @property
    def folder(self) -> str:
        """The folder of the artifact's files in the bucket."""
        return f"{self.user_id}/{self.artifact_id}"

    def path(self, file: str) -> str:
        """The path of a file in the bucket."""
        return f"{self.folder}/{stored_name(file)}"


def stored_name(file: str) -> str:
    """The name of a file in the bucket: unchanged where the bucket accepts it.

    Else letters, digits and a hash of the name; the artifact's row keeps the name itself.
    """
    if _TAKEN_AS_IT_IS.fullmatch(file):
        return file
    stem, dot, suffix = file.rpartition(".")
    if not dot or not re.fullmatch(r"[A-Za-z0-9]{1,20}", suffix):
        stem, dot, suffix = file, "", ""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", unicodedata.normalize("NFKD", stem))[:120]
    mark = hashlib.sha256(file.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{plain.strip('.') or 'file'}-{mark}{dot}{suffix}"


def artifact_id_of(job_id: str) -> str:
    """The id of the artifact that we make of a job."""
    return str(uuid.uuid5(NAMESPACE, job_id))


def artifact_row(
    job: Row,
    points: Iterable[Row],
    files: Sequence[StoredFile],
    weights: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The row of `model_artifacts`.

    `points` are all metric points of the job in order of timestamp, read once and not kept;
    `weights` is the summary of the weights, where there is one. Raises MalformedJobError.
    """
    identity = Identity.of(job)
    run = MetricColumns(points)
    row = {
        "id": identity.artifact_id,
        "user_id": identity.user_id,
        "job_id": identity.job_id,
        "dataset_id": identity.dataset_id,
        "name": identity.name,
        "version": "1.0.0",
        "status": "stored",
        "quality_metrics": calculate_quality_metrics(run.ends, job),
        "training_summary": _summary(job, run),
        "configuration": {
            "preset_id": job.get("preset_id"),
            "hyperparameters": job.get("hyperparameters"),
            "gpu_config": job.get("gpu_config"),
            "files": {file.name: file.in_row() for file in files},
            **({} if weights is None else {"weights": weights}),
        },
        "artifacts": {file.name: file.path for file in files},
    }
    return {key: _json(value) for key, value in row.items()}


def notification_row(artifact: Row) -> dict[str, Any]:
    """The row of `notifications` that announces an artifact; its id comes from the artifact's."""
    artifact_id = str(artifact["id"])
    stars = Quality.from_json(artifact.get("quality_metrics")).stars
    score = "" if stars is None else f" Quality score: {stars}/5 stars"
    return {
        "id": str(uuid.uuid5(NAMESPACE, artifact_id)),
        "user_id": artifact["user_id"],
        "type": "artifact_ready",
        "title": "Model Ready for Download",
        "message": f"Your trained model is ready.{score}",
        "priority": "high",
        "read": False,
        "action_url": f"/models/{artifact_id}",
        "metadata": {"artifact_id": artifact_id, "job_id": artifact["job_id"]},
    }


def model_name(job: Row) -> str:
    """`{dataset or 'Model'} - {date}`; the day is the one on which the training was completed."""
    dataset = mapping(job.get("dataset")).get("name")
    title = dataset if isinstance(dataset, str) and dataset.strip() else "Model"
    moment = parse_timestamp(job.get("completed_at")) or parse_timestamp(job.get("created_at"))
    date = f" - {moment:%Y-%m-%d}" if moment else ""
    return title[: _LONGEST_NAME - len(date)] + date


def _summary(job: Row, run: MetricColumns) -> dict[str, Any]:
    last = run.last_validation
    return {
        "epochs_completed": _figure(job.get("current_epoch")),
        "total_steps": _figure(job.get("current_step")),
        "final_loss": _figure(mapping(job.get("current_metrics")).get("training_loss")),
        "training_duration_hours": _hours(job),
        "total_cost": _figure(job.get("final_cost")),
        "loss_curve": [
            *(
                [_figure(point.step), *losses]
                for point in downsample(run, MOST_CURVE_POINTS)
                for losses in _losses(point)
            ),
            *([] if run.bad_from is None else [[_figure(run.bad_from), None, None]]),
        ],
        "logged_points": len(run),
        "last_validation": last and {"step": _figure(last.step), "loss": last.loss},
    }


def _losses(point: CurvePoint) -> list[list[float | None]]:
    """The losses of a point; two nulls precede them after a gap."""
    losses = [point.training_loss, point.validation_loss]
    return [[None, None], losses] if point.after_gap else [losses]


def _hours(job: Row) -> float | None:
    started, completed = (
        parse_timestamp(job.get("started_at")),
        parse_timestamp(job.get("completed_at")),
    )
    if started is None or completed is None or completed < started:
        return None
    return (completed - started).total_seconds() / 3600


def _figure(value: object) -> float | int | None:
    """A number for JSON: 3, not 3.0, and never a string."""
    found = number(value)
    if found is None or not found.is_integer():
        return found
    return int(found)


def _json(value: Any) -> Any:
    """The value without NaN and infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json(inner) for inner in value]
    return value


_ID_BYTES: Final = 16


class MetricColumns(Sequence[CurvePoint]):
    """The metric points of a run as columns, read page by page; `ends` are the rows for the rating.

    200,000 points take some 10 MB. Rows come in the order of (timestamp, id); repeated rows are
    dropped, and rows in another order sorted.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self._steps, self._training, self._validation = array("d"), array("d"), array("d")
        moments, ids = array("d"), bytearray()
        self._first: Row | None = None
        self._last: Row | None = None
        first_key: tuple[float, bytes] | None = None
        last_key: tuple[float, bytes] | None = None
        previous: tuple[float, bytes] | None = None
        ordered = True
        for position, row in enumerate(rows):
            point = MetricPoint.from_row(row)
            moment = parse_timestamp(row.get("timestamp"))
            seconds = moment.timestamp() if moment else math.nan
            name = _id(row.get("id"), position)
            key = (seconds, name)
            if moment is not None:
                ordered = ordered and (previous is None or key > previous)
                previous = key
            if self._first is None or (moment is not None and first_key and key < first_key):
                self._first, first_key = row, key
            if moment is None or last_key is None or key >= last_key or math.isnan(last_key[0]):
                self._last, last_key = row, key
            self._steps.append(math.nan if point.step is None else point.step)
            self._training.append(_or_nan(usable_loss(point.training_loss, point.gradient_norm)))
            self._validation.append(_or_nan(point.validation_loss))
            moments.append(seconds)
            ids += name
        if not ordered:
            self._sort(moments, bytes(ids))
        self._drawn = array(
            "L", (n for n, loss in enumerate(self._training) if not math.isnan(loss))
        )

    @property
    def ends(self) -> tuple[Row, ...]:
        """The first and the last row; a single one, or none, where there are no more."""
        if self._first is None or self._last is None:
            return ()
        return (self._first, self._last) if len(self._steps) > 1 else (self._last,)

    @property
    def bad_from(self) -> float | None:
        """The first step of the losses at the end that are not numbers; None without any."""
        position = self._drawn[-1] + 1 if self._drawn else 0
        return self._step(position) if position < len(self._training) else None

    @property
    def last_validation(self) -> StepLoss | None:
        """The last validation loss that is a number."""
        for position in reversed(range(len(self._validation))):
            loss = finite(self._validation[position])
            if loss is not None:
                return StepLoss(self._step(position), loss)
        return None

    def __len__(self) -> int:
        return len(self._drawn)

    @overload
    def __getitem__(self, place: int) -> CurvePoint: ...
    @overload
    def __getitem__(self, place: slice) -> list[CurvePoint]: ...
    def __getitem__(self, place: int | slice) -> CurvePoint | list[CurvePoint]:
        places = range(len(self._drawn))
        if isinstance(place, slice):
            return [self._point(chosen) for chosen in places[place]]
        return self._point(places[place])

    def __iter__(self) -> Iterator[CurvePoint]:
        return map(self._point, range(len(self._drawn)))

    def _point(self, place: int) -> CurvePoint:
        position = self._drawn[place]
        return CurvePoint(
            step=self._step(position),
            training_loss=self._training[position],
            validation_loss=finite(self._validation[position]),
            after_gap=place > 0 and self._drawn[place - 1] != position - 1,
        )

    def _step(self, position: int) -> float:
        step = self._steps[position]
        return float(position) if math.isnan(step) else step

    def _sort(self, moments: array[float], ids: bytes) -> None:
        """Sort by (timestamp, id) and drop repeated ids; points without a timestamp come first."""

        def key(position: int) -> tuple[float, bytes]:
            seconds = moments[position]
            return (-math.inf if math.isnan(seconds) else seconds, _id_at(ids, position))

        order = array("L")
        before = None
        for position in sorted(range(len(moments)), key=key):
            if _id_at(ids, position) != before:
                order.append(position)
            before = _id_at(ids, position)
        for name in ("_steps", "_training", "_validation"):
            column = getattr(self, name)
            setattr(self, name, array("d", (column[position] for position in order)))


def _id(value: object, position: int) -> bytes:
    """Sixteen bytes that identify a point and sort like its id."""
    try:
        return uuid.UUID(str(value)).bytes
    except ValueError:
        return str(value).encode()[:8].ljust(8, b"\0") + position.to_bytes(8, "big")


def _id_at(ids: bytes, position: int) -> bytes:
    return ids[position * _ID_BYTES : (position + 1) * _ID_BYTES]


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
