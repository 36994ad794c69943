"""lora-tui: harvest, browse and deliver LoRA adapters from a terminal."""

__version__ = "0.1.0"
