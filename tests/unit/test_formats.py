"""Figures are written in one way everywhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lora_tui import formats

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (formats.stars(3), "★★★☆☆"),
        (formats.stars(3, ascii_only=True), "***.."),
        (formats.stars(99), "★★★★★"),
        (formats.score(4), "4/5"),
        (formats.loss(0.123456), "0.1235"),
        (formats.loss(float("nan")), "–"),
        (formats.perplexity(7.389), "7.39"),
        (formats.perplexity(1e300), "1.00e+300"),
        (formats.count(12345), "12,345"),
        (formats.money(1234.5), "$1,234.50"),
        (formats.money(None), "–"),
        (formats.hours(1.5), "1.50 h"),
        (formats.size(25_165_824), "24.0 MiB"),
        (formats.size(512), "512 B"),
        (formats.latency(0.0849), "85 ms"),
        (formats.latency(1.236), "1.24 s"),
        (formats.latency(31.2), "31 s"),
        (formats.latency(None), "–"),
        (formats.token_rate(8.313), "8.31"),
        (formats.token_rate(42.04), "42.0"),
        (formats.token_rate(1250.4), "1,250"),
        (formats.token_rate(None), "–"),
        (formats.size(500 * 1024**3), "500 GiB"),
        (formats.duration(3723), "1:02:03"),
        (formats.duration(None), "--:--"),
        (formats.number(0.0002), "2e-4"),
        (formats.number(16), "16"),
        (formats.percent(62.345), "62.3 %"),
    ],
)
def test_each_kind_of_number_has_one_format(shown: str, wanted: str) -> None:
    assert shown == wanted


@pytest.mark.parametrize(
    ("passed", "wanted"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=50), "1 min ago"),
        (timedelta(minutes=5), "5 min ago"),
        (timedelta(hours=26), "1 d ago"),
        (timedelta(days=400), "1 y ago"),
    ],
)
def test_ages(passed: timedelta, wanted: str) -> None:
    assert formats.age(NOW - passed, NOW) == wanted


def test_an_unknown_time_reads_never() -> None:
    assert formats.age(None, NOW) == "never"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (formats.loss_in(1.23456, 6), "1.2346"),
        (formats.loss_in(12.3456, 6), "12.346"),
        (formats.loss_in(-5.0, 6), "-5.000"),
        (formats.loss_in(123_456.7, 6), "1.23e5"),
        (formats.loss_in(1e30, 6), "1e30"),
        (formats.loss_in(None, 6), formats.NO_VALUE),
        (formats.money_in(17.69, 7), "$17.69"),
        (formats.money_in(1_234.5, 7), "$1,234"),
        (formats.money_in(123_456_789.0, 7), "$1.2e8"),
        (formats.money_in(None, 7), formats.NO_VALUE),
    ],
)
def test_a_number_in_a_narrow_column_loses_decimals_and_is_never_cut(
    text: str, wanted: str
) -> None:
    assert text == wanted
