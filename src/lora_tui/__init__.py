"""lora-tui: harvest, browse and deliver LoRA adapters from a terminal."""

from typing import Final

__version__: Final = "0.1.0"
