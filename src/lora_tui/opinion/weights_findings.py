"""Findings from the weights of a model: damage, no effect, unused rank, unusual norms.

They stand beside the findings from the curve. They never change the stars: a rating of the curve
must not depend on whether the weights were measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Final

from lora_tui import formats
from lora_tui.domain import WeightSummary
from lora_tui.opinion.findings import Finding, Kind, Severity

UNUSED_RANK: Final = 4.0
"""How many times its highest effective rank a rank must be to be far beyond what is used."""
MIN_RANK: Final = 16
"""A smaller rank costs so little that nothing is gained by lowering it."""
MIN_PEERS: Final = 4
"""Other adapters that a norm is compared with, at the least."""
PEER_SCORE: Final = 3.5
"""Modified z-score from which a norm is unusual (Iglewicz and Hoaglin 1993)."""
PEER_RATIO: Final = 2.0
"""How many times the usual norm, or its inverse, an unusual norm is at the least."""


def weight_findings(
    summary: WeightSummary | None, peers: Sequence[WeightSummary] = ()
) -> list[Finding]:
    """The findings, the most serious first; none without a summary.

    `peers` are the summaries of other adapters of the same base model, dataset and rank.
    """
    if summary is None:
        return []
    if summary.is_damaged:
        return [_damage(summary)]
    if summary.has_no_effect:
        return [_no_effect(summary)]
    return [*_dead_modules(summary), *_unusual_norm(summary, peers), *_unused_rank(summary)]


def _damage(summary: WeightSummary) -> Finding:
    named = f", such as {summary.damaged_names[0]}" if summary.damaged_names else ""
    return Finding(
        Kind.DAMAGED_WEIGHTS,
        Severity.SERIOUS,
        f"{formats.count(summary.damaged)} of {formats.counted(summary.tensors, 'tensor')} hold"
        f" values that are NaN or infinite{named}: the adapter can't work.",
        "Train again with a lower learning rate, or take a checkpoint from before the values"
        " became NaN.",
    )


def _no_effect(summary: WeightSummary) -> Finding:
    beside = ""
    if summary.other_tensors:
        other = formats.counted(summary.other_tensors, "tensor")
        beside = f" Only {other} beside the matrices can have one."
    return Finding(
        Kind.NO_EFFECT,
        Severity.SERIOUS if not summary.other_tensors else Severity.WARNING,
        f"None of the {formats.counted(summary.modules, 'LoRA module')} has an effect: B·A is"
        f" zero, as before training.{beside}",
        "Check that the adapter was saved after the training, and that its parameters were"
        " trained.",
    )


def _dead_modules(summary: WeightSummary) -> list[Finding]:
    if not summary.dead:
        return []
    return [
        Finding(
            Kind.NO_EFFECT,
            Severity.NOTE,
            f"{formats.count(summary.dead)} of {formats.counted(summary.modules, 'LoRA module')}"
            " have no effect: B·A is zero in them.",
        )
    ]


def _unusual_norm(summary: WeightSummary, peers: Sequence[WeightSummary]) -> list[Finding]:
    """Compare the logarithm of the norm with those of the peers by the modified z-score."""
    norms = [peer.norm for peer in peers if peer.norm and peer.scaled and not peer.is_damaged]
    if not summary.norm or not summary.scaled or len(norms) < MIN_PEERS:
        return []
    logarithms = [math.log(norm) for norm in norms]
    centre = median(logarithms)
    deviation = median(abs(value - centre) for value in logarithms) / 0.6745
    distance = math.log(summary.norm) - centre
    if abs(distance) < math.log(PEER_RATIO) or abs(distance) <= PEER_SCORE * deviation:
        return []
    large = distance > 0
    return [
        Finding(
            Kind.UNUSUAL_NORM,
            Severity.WARNING,
            f"The norm of the weights is {formats.significant(summary.norm)}; that of"
            f" {formats.counted(len(norms), 'other adapter')} of this base model, dataset and rank"
            f" is usually {formats.significant(math.exp(centre))}.",
            "Compare the learning rate and the number of steps with those of the others: large"
            " weights forget more of the base model."
            if large
            else "Compare the learning rate and the number of steps with those of the others.",
        )
    ]


def _unused_rank(summary: WeightSummary) -> list[Finding]:
    rank, used = summary.rank, summary.highest_effective_rank
    if rank is None or used is None or rank < MIN_RANK or rank < UNUSED_RANK * used:
        return []
    return [
        Finding(
            Kind.UNUSED_RANK,
            Severity.NOTE,
            f"The rank is {formats.count(rank)}, and no module has an effective rank above"
            f" {formats.significant(used)}. A low effective rank is normal and no fault: the update"
            " has few directions that matter. A lower rank may give the same result.",
        )
    ]
