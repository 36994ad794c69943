"""The floating-point types of safetensors: their bits, what is NaN or infinite, 8-bit values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class FloatType:
    """A type whose values can be read."""

    bytes: int
    magnitude: int
    """The bits without the sign."""
    infinite: int | None
    """The magnitude of infinity; None where the type has none."""
    first_nan: int
    """The least magnitude that is NaN."""


FLOAT_TYPES: Final[Mapping[str, FloatType]] = {
    "F64": FloatType(8, (1 << 63) - 1, 0x7FF << 52, (0x7FF << 52) + 1),
    "F32": FloatType(4, 0x7FFFFFFF, 0x7F800000, 0x7F800001),
    "F16": FloatType(2, 0x7FFF, 0x7C00, 0x7C01),
    "BF16": FloatType(2, 0x7FFF, 0x7F80, 0x7F81),
    "F8_E4M3": FloatType(1, 0x7F, None, 0x7F),
    "F8_E5M2": FloatType(1, 0x7F, 0x7C, 0x7D),
}
"""By their names in a header. E4M3 has no infinities: it is PyTorch's float8_e4m3fn."""

ALWAYS_FINITE: Final = frozenset(
    {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F4", "F6_E2M3", "F6_E3M2"}
)
"""Types that have neither NaN nor infinity."""


def values_of_bytes(dtype: str) -> list[float]:
    """The 256 values of an 8-bit type (Micikevicius et al., "FP8 Formats for Deep Learning")."""
    kind = FLOAT_TYPES[dtype]
    mantissa_bits, bias = (3, 7) if dtype == "F8_E4M3" else (2, 15)
    one = 1 << mantissa_bits
    values = []
    for bits in range(256):
        magnitude = bits & kind.magnitude
        exponent, fraction = divmod(magnitude, one)
        if magnitude >= kind.first_nan:
            value = math.nan
        elif magnitude == kind.infinite:
            value = math.inf
        else:
            whole = fraction + (one if exponent else 0)
            value = math.ldexp(whole, max(exponent, 1) - bias - mantissa_bits)
        values.append(-value if bits & 0x80 else value)
    return values
