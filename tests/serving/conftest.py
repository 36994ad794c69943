"""Fixtures for tests of servers that load adapters."""

from __future__ import annotations

from tests.serving.llama import llama

__all__ = ["llama"]
