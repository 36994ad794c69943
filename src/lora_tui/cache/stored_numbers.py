"""Numbers of metric points in SQLite, which would store NaN as NULL."""

from __future__ import annotations

import math
from typing import Final

from lora_tui.errors import DamagedCacheError

_NAN: Final = "NaN"


def stored_number(value: float | None) -> float | str | None:
    """A number as SQLite can store it."""
    return _NAN if value is not None and math.isnan(value) else value


def number_of(value: float | str | None) -> float | None:
    """The number that `stored_number` wrote. Raises DamagedCacheError."""
    if not isinstance(value, str):
        return value
    if value == _NAN:
        return math.nan
    raise DamagedCacheError("The cache file is damaged", details="a metric point holds text")
