"""A Secret shows itself to `reveal()` and to nothing else."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from dataclasses import dataclass

import pytest

from lora_tui.secret import Secret

PLANTED = "sb_secret_planted"


@dataclass(frozen=True)
class Holder:
    key: Secret


def test_no_way_of_printing_shows_it(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(PLANTED)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("lora_tui").debug("%s %r", secret, secret)
    try:
        raise ValueError(secret)
    except ValueError as error:
        told = "".join(traceback.format_exception(error))
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r:>40}", "%s" % secret]  # noqa: UP031
    shown += ["{}".format(secret), repr([secret]), repr(Holder(secret)), caplog.text, told]  # noqa: UP032
    assert [text for text in shown if PLANTED in text] == []
    assert all("••••••" in text for text in shown)
    assert secret.reveal() == PLANTED


def test_it_is_not_stored_by_accident() -> None:
    for store in (pickle.dumps, json.dumps):
        with pytest.raises(TypeError):
            store(Secret(PLANTED))
    with pytest.raises(TypeError):
        vars(Secret(PLANTED))
