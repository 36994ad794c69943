"""The result of a second opinion: findings with a severity, a verdict, recommendations."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Kind(StrEnum):
    """The subject of a finding."""

    REDUCTION = "reduction"
    NOT_A_NUMBER = "not a number"
    DIVERGENCE = "divergence"
    OVERFIT = "overfit"
    GAP = "gap"
    SPIKES = "spikes"
    PLATEAU = "plateau"
    OUTLIER_END = "outlier at end"
    VALIDATION = "validation"
    NO_VALIDATION = "no validation"
    FEW_POINTS = "few points"
    DOWNSAMPLED = "down-sampled"


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
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Finding:
    """One observation about the curve."""

    kind: Kind
    severity: Severity
    sentence: str
    advice: str | None = None
    """What to change in the next run; None where the finding suggests nothing."""
    step: float | None = None
    """The training step that the finding is about; None for the whole curve."""


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

    @property
    def recommendation(self) -> str | None:
        """The advice of the most serious finding that has one."""
        return next((finding.advice for finding in self.findings if finding.advice), None)


@dataclass(frozen=True)
class Comparison:
    """How the suggested rating compares with the stored one."""

    agrees: bool | None
    """Whether they differ by at most one star; None where either is unknown."""
    sentence: str
