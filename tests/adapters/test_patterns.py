"""Untrusted regular expressions are matched as Python matches them, in bounded time."""

from __future__ import annotations

import re

import pytest

from lora_tui.adapters.patterns import Work, first_match, is_invalid, matches_part, matches_whole

NAMES = (
    "model.layers.0.self_attn.q_proj",
    "model.layers.11.mlp.experts.down_proj",
    "lm_head",
    "q_proj",
    "a.b",
    "",
)
KEYS = (
    "q_proj", "proj", "_proj", "^model.layers.0.self_attn.q_proj", "^q_proj$", "self_attn",
    ".*", ".*q_proj", r".*\.q_proj", r"layers\.\d+\..*", r"layers\.[0-9]{1,2}\..*proj",
    r"(q|k|v)_proj", "(?:q|k)_proj|lm_head", "q_proj)|(lm_head", "", r"(?P<x>q)_proj",
    r"[^.]+", r"[a-z_]+\.\w+", r"[\w.]*", r"[]a.]+", r"[^]]*", r"[a-]\.b", r"a\.b", "a.b", "a{1}.b",
    "q_pro{0,}j", "q_pro{,2}j", "q_proj{", "q_proj{1", r"(?!.*layers\.0).*", r"(?=q).*", r"(?!q).*",
    r"(\w+\.)*q_proj", r"((\w+)\.?)*", "q_proj??", "q_.*?j", r"\bq_proj", r"\Aq_proj\Z", "q_proj$",
    "Q_PROJ", r"lm\x5fhead", r"\S+", r"[\S\s]*", "(a|ab)(c|bcd)*.?b", r"(.+)+", "(|a).b", "é",
)  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_a_key_matches_as_python_matches_it_for_peft(key: str) -> None:
    for name in NAMES:
        # utils/other.py of PEFT, get_pattern_key
        expected = bool(re.match(rf"(.*\.)?({key})$", name)) or key == name
        found = first_match([key], name)
        if found.decided:
            assert (found.key is not None) is expected, name
        else:
            assert key == r"lm\x5fhead"
        whole = matches_whole(key, name) if not key.count(")|(") else None
        if whole is not None:
            assert whole is bool(re.fullmatch(key, name)), name
        part = matches_part(key, name) if not key.count(")|(") else None
        if part is not None:
            assert part is bool(re.match(rf"(^|.*\.){key}($|\..*)", name)), name


def test_the_first_key_that_matches_counts() -> None:
    assert first_match(["k_proj", "q_proj", ".*"], NAMES[0]).key == "q_proj"
    assert first_match([".*", "q_proj"], NAMES[0]).key == ".*"
    assert first_match(["k_proj"], NAMES[0]).key is None


@pytest.mark.parametrize(
    "key",
    [
        r"(a)\1", r"(?<=a)b", r"(?i:a)", r"(a)?(?(1)b|c)", r"a*+", r"(?>a)", r"\x41", "(a)" * 900,
        "(" * 90 + ")" * 90,
    ],
)  # fmt: skip
def test_what_is_not_supported_is_undecided_and_not_guessed(key: str) -> None:
    assert not first_match([key, "q_proj"], "model.q_proj").decided
    assert first_match(["q_proj", key], "model.q_proj").key == "q_proj"


@pytest.mark.parametrize(
    "key",
    [
        "(a+)+$", "(a|a)*b", "(a|aa)+b", "(.*.*)*x", "(.*)*(.*)*(.*)*x", "a?" * 60 + "a" * 60,
        "((a{0,40}){0,40}){0,40}b", "(a{1,30000}){1,30000}b", "(?=(a+)+b)(a+)+b", ".*" * 60 + "x",
        r"(\w+\.?)+\.x", "(a*)*" * 30 + "b",
    ],
)  # fmt: skip
def test_a_hostile_pattern_ends_after_a_bounded_number_of_steps(key: str) -> None:
    work = Work(50_000)
    found = first_match([key], "a" * 200, work)
    assert found.key is None or re.fullmatch("a?" * 9, "a" * 9)
    assert work.left > -50_000


def test_many_patterns_of_many_modules_share_one_budget() -> None:
    work = Work(20_000)
    names = [f"layers.{number}." + "a" * 100 for number in range(300)]
    answers = [first_match([f"(a|a)*{name[7]}"], name, work) for name in names]
    assert not answers[-1].decided


@pytest.mark.parametrize("key", ["(", ")", "q[", "*q", "a{2,1}", "(?P<1>a)", "(?i)a", r"\9", "\\"])
def test_what_python_refuses_is_known_as_invalid(key: str) -> None:
    assert is_invalid(key)
    with pytest.raises(re.error):
        re.match(rf"(.*\.)?({key})$", "name")


@pytest.mark.parametrize("key", [*KEYS, "a)|(b"])
def test_what_python_accepts_is_not_invalid(key: str) -> None:
    assert not is_invalid(key)
