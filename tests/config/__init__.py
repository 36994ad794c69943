"""Tests of the configuration: the table of settings, and what reads and writes it."""
