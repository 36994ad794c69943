"""The rows of the backend as frozen dataclasses: models, jobs, datasets, metrics, costs.

`from_row` never fails on malformed data: numbers may be strings, JSON columns may be null, have a
wrong type or lack keys, and two dialects of key names are supported. All texts are passed through
`terminal_safe`. May import `json_values`, `text` and `clock`.
"""

from __future__ import annotations

from lora_tui.domain.cost_records import CostRecord
from lora_tui.domain.outcome import age_begins, attempts_of, reason_of
from lora_tui.domain.rows import (
    NO_VERSION,
    ArtifactFile,
    Dataset,
    Job,
    Model,
    NewestValues,
    Notification,
)
from lora_tui.domain.run_progress import RunProgress, progress_of
from lora_tui.domain.training import (
    CONVERGENCES,
    CurvePoint,
    EvaluationSet,
    Gpu,
    Hyperparameters,
    MetricPoint,
    Quality,
    StepLoss,
    Training,
    curve_from_points,
    finite,
    usable_loss,
)
from lora_tui.domain.weight_summary import WeightSummary
from lora_tui.json_values import Row

__all__ = [
    "CONVERGENCES",
    "NO_VERSION",
    "ArtifactFile",
    "CostRecord",
    "CurvePoint",
    "Dataset",
    "EvaluationSet",
    "Gpu",
    "Hyperparameters",
    "Job",
    "MetricPoint",
    "Model",
    "NewestValues",
    "Notification",
    "Quality",
    "Row",
    "RunProgress",
    "StepLoss",
    "Training",
    "WeightSummary",
    "age_begins",
    "attempts_of",
    "curve_from_points",
    "finite",
    "progress_of",
    "reason_of",
    "usable_loss",
]
