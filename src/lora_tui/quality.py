"""The star rating of a training run: the rule of the pipeline, version 1, with identical results.

The web application computes the same values in JavaScript and stores them as JSON, so this module
uses the arithmetic of JavaScript: division by zero does not raise, null counts as 0, and values
that JSON can't hold (NaN, infinity) are stored as null. Pure functions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

_JS_NUMBER: Final = re.compile(r"[+-]?(?:Infinity|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)", re.ASCII)

# (loss reduction in percent that must be exceeded, convergence, stars)
_STEPS: Final = ((50.0, "excellent", 5), (30.0, "good", 4), (15.0, "fair", 3), (5.0, "poor", 2))
_OVERFIT_GAP: Final = 0.5


def calculate_quality_metrics(
    metrics: Sequence[Mapping[str, Any]],
    job: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Rate one training run by its metric points.

    `metrics` are rows of `metrics_points` in order of timestamp; only `training_loss` of the first
    and the last and `validation_loss` of the last are read, as number, numeric string or None.
    `job` is ignored; it is accepted because the pipeline passes it.

    Returns what the pipeline stores as `quality_metrics`: overall_score (1 to 5),
    convergence_quality, final_training_loss, final_validation_loss, perplexity and, where there
    are points, loss_reduction_percent. Losses are in nats a token; never NaN or infinite.
    A loss whose key is absent from its row (not null: absent) is absent from the result too.
    """
    del job
    if not metrics:
        return {
            "overall_score": 3,
            "convergence_quality": "unknown",
            "final_training_loss": None,
            "final_validation_loss": None,
            "perplexity": None,
        }
    first = _arithmetic(metrics[0], "training_loss")
    last = _arithmetic(metrics[-1], "training_loss")
    validation = _arithmetic(metrics[-1], "validation_loss")

    reduction = _divide(first - last, first) * 100
    convergence, score = rate_reduction(reduction)
    if _truthy(validation) and _truthy(last) and validation - last > _OVERFIT_GAP:
        convergence, score = "overfit", max(2, score - 1)

    result: dict[str, Any] = {"overall_score": score, "convergence_quality": convergence}
    if "training_loss" in metrics[-1]:
        result["final_training_loss"] = _stored(metrics[-1]["training_loss"])
    if "validation_loss" in metrics[-1]:
        result["final_validation_loss"] = _stored(metrics[-1]["validation_loss"])
    result["perplexity"] = _finite(ecmascript_exp(validation)) if _truthy(validation) else None
    result["loss_reduction_percent"] = _finite(reduction)
    return result


def rate_reduction(percent: float) -> tuple[str, int]:
    """(convergence, stars) for a loss reduction in percent; NaN counts as no reduction."""
    for threshold, convergence, stars in _STEPS:
        if percent > threshold:
            return convergence, stars
    return "poor", 1


def ecmascript_exp(x: float) -> float:
    """e to the power of `x`, to the same last bit as V8's `Math.exp`; inf where it overflows.

    V8 computes it by the fdlibm method (argument reduction by ln 2, then a rational approximation
    on the remainder), the C library by another one; they sometimes disagree in the last bit.
    """
    if math.isnan(x):
        return x
    if x > 709.782712893383973096:
        return math.inf
    if x < -745.13321910194110842:
        return 0.0
    magnitude = abs(x)
    high, low, k = x, 0.0, 0
    if magnitude > 0.5 * _LN2:
        if x == 1.0:
            return math.e
        if magnitude < 1.5 * _LN2:
            k = 1 if x > 0 else -1
        else:
            k = int(_INVERSE_LN2 * x + math.copysign(0.5, x))
        high, low = x - k * _LN2_HIGH, k * _LN2_LOW
    elif magnitude < 2.0**-28:
        return 1.0 + x
    r = high - low
    t = r * r
    c = r - t * (_P1 + t * (_P2 + t * (_P3 + t * (_P4 + t * _P5))))
    if k == 0:
        return 1.0 - ((r * c) / (c - 2.0) - r)
    return math.ldexp(1.0 - ((low - (r * c) / (2.0 - c)) - high), k)


_LN2: Final = 6.93147180559945286227e-01
_LN2_HIGH: Final = 6.93147180369123816490e-01
_LN2_LOW: Final = 1.90821492927058770002e-10
_INVERSE_LN2: Final = 1.44269504088896338700
_P1: Final = 1.66666666666666019037e-01
_P2: Final = -2.77777777770155933842e-03
_P3: Final = 6.61375632143793436117e-05
_P4: Final = -1.65339022054652515390e-06
_P5: Final = 4.13813679705723846039e-08


def _arithmetic(row: Mapping[str, Any], key: str) -> float:
    """The value in JavaScript arithmetic: null is 0, undefined and text are NaN."""
    if key not in row:
        return math.nan
    value = row[key]
    return 0.0 if value is None else _number(value)


def _number(value: object) -> float:
    """JavaScript's `Number(value)` for what a JSON column can hold."""
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return 0.0
        return float(text) if _JS_NUMBER.fullmatch(text) else math.nan
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        return math.inf if value > 0 else -math.inf  # type: ignore[operator]
    except (TypeError, ValueError):
        return math.nan


def _divide(dividend: float, divisor: float) -> float:
    """IEEE 754 division, also by zero, which Python rejects."""
    if divisor != 0:
        return dividend / divisor
    if dividend == 0 or math.isnan(dividend):
        return math.nan
    return math.copysign(math.inf, dividend) * math.copysign(1.0, divisor)


def _truthy(value: float) -> bool:
    return value != 0 and not math.isnan(value)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _stored(value: object) -> float | None:
    return None if value is None else _finite(_number(value))
