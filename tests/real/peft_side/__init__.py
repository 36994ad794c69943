"""Programs for the environment with PEFT, transformers and torch; they don't import lora_tui."""
