"""Findings from losses and gradient norms that are not numbers."""

from __future__ import annotations

import math
from statistics import median
from typing import Final

from lora_tui import formats
from lora_tui.opinion.findings import Finding, Kind, Severity
from lora_tui.opinion.measurements import Run

LARGE_GRADIENT: Final = 1e3
"""A median gradient norm from which on only clipping keeps a run stable; below 10 is usual."""


def non_finite_losses(run: Run, *, counted: bool) -> list[Finding]:
    """Find training and validation losses that are NaN or infinite.

    `counted` says that each point was logged so, and none was left out.
    """
    findings = []
    if run.bad_from is not None:
        findings.append(_ends_bad(run, run.bad_from, counted=counted))
    elif run.bad:
        amount = f"{_amount(run)}, first " if counted else ""
        findings.append(
            Finding(
                Kind.NOT_A_NUMBER,
                Severity.WARNING,
                f"The training loss is not a number {amount}at step {formats.count(run.bad[0])} of "
                f"{formats.count(run.last_step)}.{_zeros(run)}",
                "Check the batches around that step, or clip the gradients.",
                run.bad[0],
            )
        )
    if run.bad_validations:
        findings.append(
            Finding(
                Kind.NOT_A_NUMBER,
                Severity.WARNING,
                f"The validation loss is not a number at "
                f"{formats.counted(len(run.bad_validations), 'point')}, first at step "
                f"{formats.count(run.bad_validations[0])}.",
                None if run.ends_bad else "Check the validation set for empty examples.",
                run.bad_validations[0],
            )
        )
    return findings


def _ends_bad(run: Run, first: float, *, counted: bool) -> Finding:
    if not run.losses:
        sentence = "The training diverged: none of its losses is a number"
        advice = "Check the learning rate, the precision and the data."
    else:
        sentence = (
            f"The training diverged: its loss is not a number from step {formats.count(first)} of "
            f"{formats.count(run.last_step)} to the end"
        )
        advice = (
            "Lower the learning rate or clip the gradients. Don't serve these weights untested: a "
            f"checkpoint before step {formats.count(first)} would be better."
        )
    amount = f", {_amount(run)}" if counted and run.losses else ""
    return Finding(
        Kind.NOT_A_NUMBER,
        Severity.SERIOUS,
        f"{sentence}{amount}.{_zeros(run)}",
        advice,
        first,
        first if run.losses else None,
    )


def _amount(run: Run) -> str:
    return f"at {formats.count(len(run.bad))} of {formats.counted(run.total, 'point')}"


def _zeros(run: Run) -> str:
    """What is to be said of losses that were logged as 0."""
    if not run.zeroed:
        return ""
    which = "It" if run.zeroed == len(run.bad) else f"{formats.count(run.zeroed)} of them"
    verb = "was" if which == "It" or run.zeroed == 1 else "were"
    return f" {which} {verb} logged as exactly 0, as Trainer does with losses that are NaN."


def gradient_norms(run: Run) -> list[Finding]:
    """Find gradient norms that are not numbers beside losses that are, and huge ones."""
    findings = []
    broken = run.broken_gradient_from
    if broken is not None and not run.ends_bad:
        findings.append(
            Finding(
                Kind.GRADIENT,
                Severity.SERIOUS,
                f"The training diverged: its gradient norm is not a number from step "
                f"{formats.count(broken)} of {formats.count(run.last_step)} to the end, so the "
                "last updates were not numbers either.",
                "Test the weights before serving; lower the learning rate or clip the gradients.",
                broken,
                broken,
            )
        )
    elif run.bad_gradients:
        count = len(run.bad_gradients)
        findings.append(
            Finding(
                Kind.GRADIENT,
                Severity.NOTE,
                f"The gradient norm is not finite at {formats.counted(count, 'point')} whose loss "
                f"is a number, last at step {formats.count(run.bad_gradients[-1])}. Training in "
                "half precision skips such steps.",
                step=run.bad_gradients[-1],
            )
        )
    usual = median(run.gradients) if run.gradients else math.nan
    if usual >= LARGE_GRADIENT:
        findings.append(
            Finding(
                Kind.GRADIENT,
                Severity.WARNING,
                f"The gradient norm is usually {formats.number(usual)}, where less than 10 is "
                "ordinary: only clipping kept the updates small.",
                "Check the scale of the loss and the precision, and keep the gradients clipped.",
            )
        )
    return findings
