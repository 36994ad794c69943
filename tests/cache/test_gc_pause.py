"""The collector is quiet for as long as anybody wants that, and not a moment longer."""

from __future__ import annotations

import gc

import pytest

from lora_tui.cache.runs import gc_paused


def test_collection_resumes_after_the_last_pause() -> None:
    with gc_paused():
        with gc_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_collection_resumes_after_an_exception() -> None:
    with pytest.raises(RuntimeError), gc_paused():
        raise RuntimeError
    assert gc.isenabled()
