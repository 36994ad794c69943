"""A finding: what was checked, how it stands, what shows it, and what would mend it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lora_tui.errors import LoraTuiError

SCHEMA_REMEDY: Final = (
    "apply what `lora-tui schema` prints, in the project's SQL editor; it only adds"
)

TABLE_REMEDY: Final = (
    "see whether the table is there and exposed to the API, and whether its users may select"
)
VERBOSE_REMEDY: Final = "run it again with -vv, which shows what was asked and answered"


class Verdict(StrEnum):
    """How a check ended. Only FAILED counts as one that does not work."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """The end of one check."""

    check: str
    """A short name that scripts can rely on: `config`, `table notifications`."""
    verdict: Verdict
    evidence: str
    """A sentence: what was seen."""
    remedy: str | None = None


def ok(check: str, evidence: str) -> Finding:
    """It works."""
    return Finding(check, Verdict.OK, evidence)


def warning(check: str, evidence: str, remedy: str | None = None) -> Finding:
    """It works, but not as well as it could."""
    return Finding(check, Verdict.WARNING, evidence, remedy)


def failed(check: str, evidence: str, remedy: str | None = None) -> Finding:
    """It does not work, or it is not safe."""
    return Finding(check, Verdict.FAILED, evidence, remedy)


def skipped(check: str, why: str, remedy: str | None = None) -> Finding:
    """It could not be checked, or there is nothing to check."""
    return Finding(check, Verdict.SKIPPED, why, remedy)


def failure(check: str, error: LoraTuiError, otherwise: str = VERBOSE_REMEDY) -> Finding:
    """An error of the family as a finding; `otherwise` is the remedy where it brings none."""
    details = f" ({error.details})" if error.details else ""
    return failed(check, f"{error}{details}", error.remedy or otherwise)


def attempt(check: str, examine: Callable[[], Finding], otherwise: str = VERBOSE_REMEDY) -> Finding:
    """The finding of `examine`, or the error that it raised as one."""
    try:
        return examine()
    except LoraTuiError as error:
        return failure(check, error, otherwise)
