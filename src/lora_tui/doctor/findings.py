"""The result of one check: its name, a verdict, the evidence, and a fix."""

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
    "check that the table exists, that the API exposes it, and that users may select from it"
)
VERBOSE_REMEDY: Final = "run it again with -vv, which logs requests and responses"


class Verdict(StrEnum):
    """The result of a check. Only FAILED makes `doctor` exit with 7."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str
    """A short name, stable for scripts: `config`, `table notifications`."""
    verdict: Verdict
    evidence: str
    """What the check saw, as a sentence."""
    remedy: str | None = None


def ok(check: str, evidence: str) -> Finding:
    """Return a finding that the check passed."""
    return Finding(check, Verdict.OK, evidence)


def warning(check: str, evidence: str, remedy: str | None = None) -> Finding:
    """Return a finding that something works, but could be better."""
    return Finding(check, Verdict.WARNING, evidence, remedy)


def failed(check: str, evidence: str, remedy: str | None = None) -> Finding:
    """Return a finding that something does not work, or is not safe."""
    return Finding(check, Verdict.FAILED, evidence, remedy)


def skipped(check: str, why: str, remedy: str | None = None) -> Finding:
    """Return a finding that this could not be checked, or that there is nothing to check."""
    return Finding(check, Verdict.SKIPPED, why, remedy)


def failure(check: str, error: LoraTuiError, otherwise: str = VERBOSE_REMEDY) -> Finding:
    """Return an error as a finding; `otherwise` is the fix if the error has no remedy."""
    details = f" ({error.details})" if error.details else ""
    return failed(check, f"{error}{details}", error.remedy or otherwise)


def attempt(check: str, examine: Callable[[], Finding], otherwise: str = VERBOSE_REMEDY) -> Finding:
    """Return the finding of `examine`, or that of the error that it raised."""
    try:
        return examine()
    except LoraTuiError as error:
        return failure(check, error, otherwise)
