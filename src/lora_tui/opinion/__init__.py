"""The second opinion on a training run: findings from the whole loss curve, as sentences.

The rating (`quality.py`) uses only the first and the last point. The second opinion uses all points
and robust statistics: medians, and a noise level measured from the curve. It is shown beside the
stored rating and never replaces it. Losses are in nats a token.

Pure functions. May import `curves`, `domain`, `quality` and `formats`.
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
from lora_tui.opinion.live import LivePoint, Rating, if_it_ended_now, live_warnings
from lora_tui.opinion.measurements import MIN_POINTS, LoggedPoint
from lora_tui.opinion.run_facts import RunFacts, is_chat_format
from lora_tui.opinion.weights_findings import weight_findings

__all__ = [
    "MIN_POINTS",
    "Comparison",
    "Finding",
    "Kind",
    "LivePoint",
    "LoggedPoint",
    "Opinion",
    "Rating",
    "RunFacts",
    "Severity",
    "Validation",
    "Verdict",
    "compare_with_rating",
    "if_it_ended_now",
    "is_chat_format",
    "live_warnings",
    "second_opinion",
    "weight_findings",
]
