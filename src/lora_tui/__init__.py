"""lora-tui: harvest, browse and download LoRA adapters from a terminal."""

__version__ = "0.1.0"
