"""Removes keys, tokens and links from remote text; see `text.without_secrets`."""

from lora_tui.text import without_secrets

__all__ = ["without_secrets"]
