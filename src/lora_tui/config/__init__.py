"""Configuration: one table of settings, and what reads, writes and shows it.

It imports `locks` and the base modules of the root only, and nothing that delays `lora-tui list`.
"""
