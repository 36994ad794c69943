"""`inspect` says of every adapter what PEFT says: its method, parameters, ranks and scaling."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from lora_tui import formats
from tests.real.cases import adapters, directory, facts, root, truth
from tests.real.commands import Typed, User

pytestmark = pytest.mark.xdist_group("inspect")


@pytest.fixture(scope="module")
def said(user: User) -> Callable[[str], Typed]:
    """`inspect --json` of an adapter, typed once."""
    return cache(lambda name: user.types("inspect", directory(name), "--json"))


def test_peft_made_every_kind_of_adapter() -> None:
    assert truth()["not_made"] == {}


@pytest.mark.parametrize("name", adapters())
def test_parameters_and_tensors_are_those_that_peft_saved(
    name: str, said: Callable[[str], Typed]
) -> None:
    shown = said(name).data
    assert (shown["parameters"], shown["tensors"]) == (
        facts(name)["saved"],
        facts(name)["tensors"],
    )


@pytest.mark.parametrize("name", adapters())
def test_the_method_is_named(name: str, said: Callable[[str], Typed]) -> None:
    assert said(name).data["config"]["peft_type"] == facts(name)["peft_type"]


@pytest.mark.parametrize("name", adapters(loads=True))
def test_what_peft_loads_has_no_problem(name: str, said: Callable[[str], Typed]) -> None:
    shown = said(name).data
    assert (shown["problems"], said(name).code) == ([], 0)


@pytest.mark.parametrize("name", adapters(lora=True, loads=True))
def test_each_module_has_the_rank_and_the_scaling_of_peft(
    name: str, said: Callable[[str], Typed]
) -> None:
    shown = {module["name"]: module for module in said(name).data["modules"]}
    wanted = facts(name)["details"]
    assert {n: m["rank"] for n, m in shown.items()} == {n: m["rank"] for n, m in wanted.items()}
    assert {n: m["scaling"] for n, m in shown.items()} == pytest.approx(
        {n: m["scaling"] for n, m in wanted.items()}
    )


@pytest.mark.parametrize("name", adapters(lora=True, loads=True))
def test_the_text_gives_every_scaling(name: str, user: User) -> None:
    ran = user.types("inspect", directory(name))
    assert ran.code == 0, ran.err
    [line] = [line for line in ran.out.splitlines() if line.startswith("Scaling")]
    values = {module["scaling"] for module in facts(name)["details"].values()}
    for value in (min(values), max(values)):
        assert formats.number(value) in line, line


@pytest.mark.parametrize("name", adapters(lora=False))
def test_what_is_no_lora_is_said_in_one_sentence(
    name: str, said: Callable[[str], Typed], user: User
) -> None:
    shown = said(name).data
    assert shown["explanation"].count(". ") == 0, shown["explanation"]
    ran = user.types("inspect", directory(name))
    assert (ran.code, ran.err) == (0, "")
    assert shown["type"] in ran.out
    assert shown["explanation"] in ran.out


@pytest.mark.parametrize(
    ("name", "words"), [("mlx", "MLX"), ("kohya", "kohya"), ("diffusers", "diffusers")]
)
def test_files_of_other_programs_are_named(name: str, words: str, user: User) -> None:
    ran = user.types("inspect", root() / "foreign" / name)
    assert ran.code == 0, ran.err
    assert words.lower() in (ran.out + ran.err).lower()
