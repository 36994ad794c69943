"""What the weights say, as lines of text: for `lora-tui spectrum` and the model's page."""

from __future__ import annotations

import math
from typing import Final

from lora_tui import formats
from lora_tui.adapters.weight_facts import (
    NO_LAYER,
    Layer,
    WeightFacts,
    layers_of,
    outliers_of,
)
from lora_tui.domain import WeightSummary

BAR: Final = "█"
MOST_LISTED: Final = 5
LAYER_HEADING: Final = ("Layer", "Norm", "Eff. rank")


def verdict(summary: WeightSummary) -> str:
    """The most important fact, as a sentence without its full stop."""
    if summary.is_damaged:
        damaged = formats.counted(summary.damaged, "tensor")
        of_all = formats.count(summary.tensors)
        return f"Damaged: {damaged} of {of_all} with values that are NaN or infinite"
    if summary.has_no_effect:
        beside = formats.counted(summary.other_tensors, "other tensor")
        more = f"; {beside} may still have one" if summary.other_tensors else ""
        return f"No effect: B·A is zero in every module, as before training{more}"
    if summary.tensors == 0:
        return "No tensor holds floating-point values"
    return "All values are finite"


def figures(summary: WeightSummary) -> list[tuple[str, str]]:
    """The figures of the whole adapter as (label, value) lines."""
    if not summary.modules:
        return [("Modules", "no LoRA matrices: only damage was looked for")]
    lines = [("Modules", _modules(summary))]
    if summary.norm is None:
        return lines
    unscaled = "" if summary.scaled else ", without the scaling, which is unknown"
    lines += [
        ("Norm", f"{formats.significant(summary.norm)} in all{unscaled}"),
        ("Norm a module", f"{formats.significant(summary.median_norm)} (median)"),
        ("Largest singular", formats.significant(summary.largest)),
    ]
    if summary.effective_rank is not None:
        highest = formats.significant(summary.highest_effective_rank)
        lines += [
            ("Stable rank", f"{formats.significant(summary.stable_rank)} (median)"),
            (
                "Effective rank",
                f"{formats.significant(summary.effective_rank)} of"
                f" {formats.count(summary.rank)} (median), at most {highest}",
            ),
        ]
    return lines


def tensors_text(facts: WeightFacts) -> str:
    """`448, 2 of them beside the matrices`."""
    text = formats.count(facts.tensors)
    if facts.modules and facts.other_tensors:
        text += f", {formats.count(facts.other_tensors)} of them beside the matrices"
    if facts.unread:
        text += f"; {formats.count(facts.unread)} more of a type that can't be read"
    return text


def remarks(facts: WeightFacts) -> list[str]:
    """Sentences about single tensors and modules, the most serious first."""
    sentences = formats.first_few(
        [tensor.sentence for tensor in facts.damaged], MOST_LISTED, facts.damaged_count
    )
    if not facts.has_no_effect:
        sentences += formats.first_few(
            [f"{module.name} has no effect" for module in facts.dead], MOST_LISTED
        )
    sentences += formats.first_few(
        [outlier.sentence for outlier in outliers_of(facts.modules)], MOST_LISTED
    )
    sentences += formats.first_few(
        [f"{module.name}: {module.problem}" for module in facts.modules if module.problem],
        MOST_LISTED,
    )
    return sentences


def layer_rows(facts: WeightFacts, width: int) -> list[tuple[str, str, str, str]]:
    """A row for each layer: its label, norm, effective rank, and a bar of at most `width` cells.

    The bar is the norm; the longest one belongs to the largest norm.
    """
    layers = layers_of(facts.modules)
    longest = max((layer.norm or 0.0 for layer in layers), default=0.0)
    several = len({layer.stack for layer in layers if layer.number != NO_LAYER}) > 1
    return [
        (
            f"{layer.stack}.{layer.label}" if several and layer.stack else layer.label,
            "damaged" if layer.damaged else formats.significant(layer.norm),
            formats.significant(layer.effective_rank),
            "" if layer.damaged else bar(layer, longest, width),
        )
        for layer in layers
    ]


def bar(layer: Layer, longest: float, width: int) -> str:
    """The norm of a layer as a bar; a norm above zero has at least one cell."""
    if not layer.norm or not longest:
        return ""
    return BAR * max(1, math.floor(layer.norm / longest * width + 0.5))


def _modules(summary: WeightSummary) -> str:
    parts = [formats.count(summary.modules)]
    if summary.evaluated < summary.modules:
        parts.append(f"{formats.count(summary.modules - summary.evaluated)} not evaluated")
    if summary.dead:
        parts.append(f"{formats.count(summary.dead)} without effect")
    if summary.outliers:
        parts.append(f"{formats.count(summary.outliers)} far from their kind")
    return ", ".join(parts)
