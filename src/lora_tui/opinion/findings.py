"""The parts of a second opinion: findings with a severity, a verdict, recommendations."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from lora_tui import formats


class Kind(StrEnum):
    """What a finding is about."""

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
    """How much a finding weighs."""

    GOOD = 0
    NOTE = 1
    WARNING = 2
    SERIOUS = 3


class Verdict(StrEnum):
    """All findings in one word."""

    HEALTHY = "healthy"
    MINOR_ISSUES = "minor issues"
    SUSPICIOUS = "suspicious"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Finding:
    """One thing that the curve shows."""

    kind: Kind
    severity: Severity
    sentence: str
    advice: str | None = None
    """What to do differently next time, where that follows."""
    step: float | None = None
    """Where on the curve it is, as the trainer counted steps."""


@dataclass(frozen=True)
class Validation:
    """The validation losses of a run that are recorded and finite."""

    last: float
    last_step: float
    best: float
    best_step: float


@dataclass(frozen=True)
class Opinion:
    """The findings, the weightiest first, and what follows from them."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    stars: int | None
    """What it would give; None where the curve does not carry a judgement."""
    validation: Validation | None = None
    """None where no validation loss was recorded."""

    @property
    def recommendation(self) -> str | None:
        """The advice of the weightiest finding that has one."""
        return next((finding.advice for finding in self.findings if finding.advice), None)


@dataclass(frozen=True)
class Comparison:
    """How the opinion stands to the stored rating."""

    agrees: bool | None
    """None where either of them can't tell."""
    sentence: str


def nats(value: float) -> str:
    """Four decimals; by powers of ten where it has run away."""
    return formats.loss(value) if abs(value) < 1e6 else f"{value:.2e}"


def whole(value: float) -> str:
    """With thousands separators."""
    return formats.count(value)


def counted(count: int, one: str, many: str = "") -> str:
    """`1 point`, `2 points`."""
    return f"{formats.count(count)} {one if count == 1 else many or one + 's'}"
