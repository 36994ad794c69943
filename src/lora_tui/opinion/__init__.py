"""The second opinion on a training run: what the whole curve says, as sentences with numbers.

The pipeline's rule (quality.py) reads the first point and the last. This reads all of them, and
robustly: medians instead of single points, noise measured from the curve itself. It is shown
beside the stored rating and never stored over it. Pure functions; losses in nats a token.
"""

from lora_tui.opinion.findings import (
    Comparison,
    Finding,
    Kind,
    Opinion,
    Severity,
    Validation,
    Verdict,
)
from lora_tui.opinion.judgement import compare_with_rating, second_opinion
from lora_tui.opinion.measurements import MIN_POINTS, LoggedPoint

__all__ = [
    "MIN_POINTS",
    "Comparison",
    "Finding",
    "Kind",
    "LoggedPoint",
    "Opinion",
    "Severity",
    "Validation",
    "Verdict",
    "compare_with_rating",
    "second_opinion",
]
