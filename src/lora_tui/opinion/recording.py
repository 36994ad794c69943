"""Whether what was logged can be judged at all: losses that are no number, too few points."""

from __future__ import annotations

from lora_tui import formats
from lora_tui.opinion.findings import Finding, Kind, Severity
from lora_tui.opinion.run import LEAST_POINTS, Run
from lora_tui.opinion.words import counted, whole


def unusable(run: Run) -> list[Finding]:
    """Where losses are no number."""
    findings = []
    if run.bad:
        where = f"first at step {whole(run.bad[0])} of {whole(run.last_step)}"
        ending = "; the run ends that way" if run.ends_bad else ""
        findings.append(
            Finding(
                Kind.NOT_A_NUMBER,
                Severity.SERIOUS if run.ends_bad else Severity.WARNING,
                f"The training loss is not a number at {formats.count(len(run.bad))} of "
                f"{counted(run.total, 'point')}, {where}{ending}.",
                "Lower the learning rate or clip the gradients; don't serve these weights untested."
                if run.ends_bad
                else "Look at the batches around that step; clip the gradients.",
                run.bad[0],
            )
        )
    if run.bad_validations:
        findings.append(
            Finding(
                Kind.NOT_A_NUMBER,
                Severity.WARNING,
                f"The validation loss is not a number at "
                f"{counted(len(run.bad_validations), 'point')}, first at step "
                f"{whole(run.bad_validations[0])}.",
                "Check the validation set for empty examples.",
                run.bad_validations[0],
            )
        )
    return findings


def enough(run: Run) -> list[Finding]:
    """Whether there are too few of them."""
    count = len(run.losses)
    if count >= LEAST_POINTS:
        return []
    if count == 0:
        sentence = "No training loss was recorded: there is nothing to judge by."
    else:
        sentence = (
            f"Only {counted(count, 'training loss', 'training losses')} "
            f"{'was' if count == 1 else 'were'} recorded; fewer than {LEAST_POINTS} "
            "don't tell a trend from noise."
        )
    advice = None if run.total == 0 else "Log the loss more often."
    return [Finding(Kind.FEW_POINTS, Severity.NOTE, sentence, advice)]
