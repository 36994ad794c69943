"""A wrong command line is answered by one clear line that says what to do."""

from __future__ import annotations

import shlex

import pytest

from lora_tui.cli.grammar import parse
from lora_tui.errors import UsageError
from tests.conftest import Run


@pytest.mark.parametrize(
    ("line", "message", "remedy"),
    [
        ("list --sorrt name", "There is no option --sorrt", "did you mean --sort?"),
        ("--harvset", "There is no option --harvset", "did you mean --harvest?"),
        ("show -x", "There is no option -x", "write -- before"),
        ("show --foo=secret", "There is no option --foo", "lora-tui show --help"),
        ("download 3f2a -x", "There is no option -x", "write -- before"),
        ("--profile demo list --sorrt", "There is no option --sorrt", "did you mean --sort?"),
        ("harvest retry --al1", "There is no option --al1", "did you mean --all?"),
        ("list --search", "--search needs a value", "lora-tui list --help"),
        ("list --search --reverse", "--search needs a value", "lora-tui list --help"),
        ("jobs --sort foo", "--sort can't be 'foo'", "choose from activity, "),
        ("list --min-stars 9", "--min-stars can't be '9'", "choose from 0, 1, 2, 3, 4, 5"),
        ("list --limit 0", "--limit must be a positive number, not '0'", "list --help"),
        ("list --limit -3", "--limit must be a positive number, not '-3'", "list --help"),
        ("download 3f2a --limit-rate -5M", "--limit-rate must be a rate, not '-5M'", "800K"),
        ("list extra", "One argument too many: extra", "lora-tui list --help"),
        ("show", "MODEL is missing", "lora-tui show --help"),
        ("serve-config 3f2a", "--for is missing", "lora-tui serve-config --help"),
        ("harvest", "ACTION is missing", "lora-tui harvest --help"),
        ("cache remove", "ACTION can't be 'remove'", "choose from info, clear"),
        ("list --csv --jsonl", "--jsonl and --csv can't be used together", "leave one out"),
        ("list --json --csv", "--json and --csv can't be used together", "leave one out"),
        ("--json metrics x --jsonl", "--json and --jsonl can't be used together", "leave one out"),
        (
            "compare x --markdown --json",
            "--json and --markdown can't be used together",
            "leave one",
        ),
        ("jobs --csv show x", "--csv is not for `lora-tui jobs show`", "leave it out"),
        ("jobs --limit 9 cancel x", "--limit is not for `lora-tui jobs cancel`", "leave it out"),
        (
            "jobs --limit 2000000000",
            "--limit must be at most 1,000,000,000",
            "lora-tui jobs --help",
        ),
        ("--once", "This option is for the harvest", "add --harvest"),
        ("--interval=60", "This option is for the harvest", "add --harvest"),
        ("--metrics-port 9000", "This option is for the harvest", "add --harvest"),
        ("--no-color --metrics 9000", "This option is for the harvest", "add --harvest"),
    ],
)
def test_each_mistake_is_named_with_what_to_do(line: str, message: str, remedy: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(shlex.split(line))
    assert str(caught.value) == message
    assert remedy in str(caught.value.remedy)
    assert "secret" not in f"{caught.value} {caught.value.remedy}"


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("list --search -x", "search", "-x"),
        ("list --search -fast --reverse", "search", "-fast"),
        ("--no-color list --search -x", "search", "-x"),
        ("list --dataset --old", "dataset", "--old"),
        ("--profile -x list", "profile", "-x"),
        ("show -1", "model", "-1"),
        ("show -- -x", "model", "-x"),
        ("config set limit_rate -1K", "value", "-1K"),
        ("config set limit_rate -1K --profile work", "value", "-1K"),
        ("config set --profile work limit_rate -1K", "value", "-1K"),
        ("config set password --hunter2", "value", "--hunter2"),
        ("config set service_key -", "value", "-"),
        ("config set service_key - --profile work", "value", "-"),
    ],
)
def test_a_value_may_begin_with_a_dash(line: str, name: str, value: str) -> None:
    assert getattr(parse(shlex.split(line)), name) == value
    if "--profile work" in line:
        assert parse(shlex.split(line)).profile == "work"


def test_a_mistyped_option_is_not_taken_as_the_value_of_a_setting() -> None:
    with pytest.raises(UsageError, match="no option --profle"):
        parse(["config", "set", "url", "--profle", "work"])


def test_a_rate_below_zero_gets_the_message_of_the_setting(run: Run) -> None:
    result = run("config", "set", "limit_rate", "-1K")
    assert result.code == 2
    assert "limit_rate is not a rate" in result.err
    assert '"5M"' in result.err
