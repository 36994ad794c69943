"""What the application is about: models, jobs, datasets, metric points, files, notifications.

Frozen dataclasses, each read from a row of the backend by its `from_row`. Reading never fails on
odd data: numbers may come as strings, JSON columns may be null, of a wrong type or lack any key,
and two dialects of key names are in use. All text has passed `terminal_safe` when it gets here.
"""

from __future__ import annotations

from lora_tui.domain.job import Dataset, Job
from lora_tui.domain.model import NO_VERSION, ArtifactFile, Model
from lora_tui.domain.notification import Notification
from lora_tui.domain.training import (
    CONVERGENCES,
    CurvePoint,
    Gpu,
    Hyperparameters,
    MetricPoint,
    Quality,
    Training,
    curve_from_points,
)
from lora_tui.json_values import Row

__all__ = [
    "CONVERGENCES",
    "NO_VERSION",
    "ArtifactFile",
    "CurvePoint",
    "Dataset",
    "Gpu",
    "Hyperparameters",
    "Job",
    "MetricPoint",
    "Model",
    "Notification",
    "Quality",
    "Row",
    "Training",
    "curve_from_points",
]
