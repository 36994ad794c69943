"""Servers that load adapters: what they answer, and what lora-tui does with them."""
