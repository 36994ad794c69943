"""The figures of a finding, as its sentence has them."""

from __future__ import annotations

from lora_tui import formats


def nats(value: float) -> str:
    """Four decimals; by powers of ten where it has run away."""
    return formats.loss(value) if abs(value) < 1e6 else f"{value:.2e}"


def whole(value: float) -> str:
    """With thousands separators."""
    return formats.count(value)


def counted(count: int, one: str, many: str = "") -> str:
    """`1 point`, `2 points`."""
    return f"{formats.count(count)} {one if count == 1 else many or one + 's'}"
