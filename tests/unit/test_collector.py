"""The collector is quiet for as long as anybody wants that, and not a moment longer."""

from __future__ import annotations

import gc

import pytest

from lora_tui.curves.gc_pause import gc_paused


def test_it_collects_again_when_the_last_one_is_done() -> None:
    with gc_paused():
        with gc_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_failure_does_not_leave_it_quiet() -> None:
    with pytest.raises(RuntimeError), gc_paused():
        raise RuntimeError
    assert gc.isenabled()
