"""The result of a second opinion: findings with a severity, a verdict, recommendations."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from lora_tui.domain import StepLoss


class Kind(StrEnum):
    """The subject of a finding."""

    REDUCTION = "reduction"
    NOT_A_NUMBER = "not a number"
    GRADIENT = "gradient norm"
    CHECKPOINT = "checkpoint"
    DIVERGENCE = "divergence"
    OVERFIT = "overfit"
    GAP = "gap"
    SPIKES = "spikes"
    PLATEAU = "plateau"
    OUTLIER_START = "outlier at start"
    OUTLIER_END = "outlier at end"
    VALIDATION = "validation"
    NO_VALIDATION = "no validation"
    FEW_POINTS = "few points"
    DOWNSAMPLED = "down-sampled"
    DAMAGED_WEIGHTS = "damaged weights"
    NO_EFFECT = "no effect"
    UNUSUAL_NORM = "unusual norm"
    UNUSED_RANK = "unused rank"
    STALLED = "stalled"
    GPU_IDLE = "GPU idle"


class Severity(IntEnum):
    """How serious a finding is; SERIOUS is the highest."""

    GOOD = 0
    NOTE = 1
    WARNING = 2
    SERIOUS = 3


class Verdict(StrEnum):
    """The summary of all findings."""

    HEALTHY = "healthy"
    MINOR_ISSUES = "minor issues"
    SUSPICIOUS = "suspicious"
    DIVERGED = "diverged"
    """The training broke down: its last loss is not a number, or the loss rose far."""
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Finding:
    """One observation about the curve, or about the weights."""

    kind: Kind
    severity: Severity
    sentence: str
    advice: str | None = None
    """What to change in the next run; None where the finding suggests nothing."""
    step: float | None = None
    """The training step that the finding is about; None for the whole curve."""
    stop_at: float | None = None
    """The step from which on the run was of no use; None where the finding does not say so."""
    saved: float | None = None
    """US dollars that stopping there would have saved, which the advice names; None if unknown."""


@dataclass(frozen=True)
class Validation:
    """The last and the best of the finite validation losses of a run."""

    last: float
    last_step: float
    best: float
    best_step: float


@dataclass(frozen=True)
class Opinion:
    """The findings, the most serious first, with the verdict and the suggested rating."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    stars: int | None
    """Suggested rating, 1 to 5; None with too few points."""
    validation: Validation | None = None
    """None where no validation loss was recorded."""
    ends_bad: bool = False
    """Whether the last training loss is not a number."""
    last_number: StepLoss | None = None
    """The last training loss that is a number; None without any."""

    @property
    def recommendation(self) -> str | None:
        """The advice of the most serious finding that has one, and the first that has a price."""
        advised = [finding for finding in self.findings if finding.advice]
        priced = [finding for finding in advised if finding.saved is not None]
        texts = dict.fromkeys(str(finding.advice) for finding in (*advised[:1], *priced[:1]))
        return " ".join(texts) or None


@dataclass(frozen=True)
class Comparison:
    """How the suggested rating compares with the stored one."""

    agrees: bool | None
    """Whether they differ by at most one star; None where either is unknown."""
    sentence: str
