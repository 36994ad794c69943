"""Every form of timestamp that the backends send is the moment that it means."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.clock import parse_timestamp, timestamp_text


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-23T09:16:55.591234+00:00", datetime(2026, 11, 23, 9, 16, 55, 591234, UTC)),
        ("2026-11-23 09:16:55.59+00", datetime(2026, 11, 23, 9, 16, 55, 590000, UTC)),
        ("2026-11-23T09:16:55Z", datetime(2026, 11, 23, 9, 16, 55, 0, UTC)),
        ("2026-11-23T11:16:55+02:00", datetime(2026, 11, 23, 9, 16, 55, 0, UTC)),
        ("2026-11-23T03:46:55-0530", datetime(2026, 11, 23, 9, 16, 55, 0, UTC)),
        ("2026-11-23T09:16", datetime(2026, 11, 23, 9, 16, tzinfo=UTC)),
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
        ("2026-11-23T09:16:55.123456789Z", datetime(2026, 11, 23, 9, 16, 55, 123456, UTC)),
    ],
)
def test_forms_that_are_sent(text: str, moment: datetime) -> None:
    assert parse_timestamp(text) == moment


@pytest.mark.parametrize(
    "value",
    [
        *(None, "", "soon", 7, True, [], {}, "2026-13-01", "2026-11-23T25:00", "infinity"),
        # as long as the usual form, and taken for it by Python's own reader
        "2026-11-23T09:16:55:591234+00:00",
        "2026-11-23T09:16:Z\x00.591234+00:00",
        "2026-02-30T09:16:55.591234+00:00",
    ],
)
def test_what_is_no_timestamp_is_none(value: object) -> None:
    assert parse_timestamp(value) is None


@pytest.mark.slow
@given(st.text(max_size=40))
def test_no_text_makes_it_fail(text: str) -> None:
    parse_timestamp(text)


moments = st.datetimes(
    # in the first and in the last year a zone's hours lead beyond all dates: they read as None
    min_value=datetime(2, 1, 1),  # noqa: DTZ001 - hypothesis wants them without a zone
    max_value=datetime(9998, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(moments)
def test_the_written_form_reads_back(moment: datetime) -> None:
    assert parse_timestamp(timestamp_text(moment)) == moment


@given(moments, moments)
def test_text_order_is_time_order(one: datetime, other: datetime) -> None:
    assert (timestamp_text(one) < timestamp_text(other)) == (one < other)
