"""A proof of effect tells what an adapter does to answers, and claims no more than it saw."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_tui.domain.servers import Verdict
from lora_tui.errors import BackendError, NotFoundError, UnreachableError
from lora_tui.serving.effect import (
    BF16_FLOOR,
    FP16_FLOOR,
    FP32_FLOOR,
    Measured,
    Probed,
    floor_of,
    judge,
    prove,
)
from lora_tui.serving.probe import BUILT_IN
from tests.serving.fake_client import Change, FakeClient


def unchanged(numbers: list[float]) -> list[float]:
    return numbers


def moved(by: float) -> Change:
    """Every second token more likely, the others less: the sums stay nearly as they are."""
    return lambda numbers: [x + by * (-1) ** place for place, x in enumerate(numbers)]


def proved(change: Change, *, dtype: str = "") -> Measured:
    return prove(FakeClient({"mine": change}, dtype=dtype), "mine")


def test_an_adapter_that_changes_the_answers_is_proved_with_how_much() -> None:
    found = proved(moved(0.25))
    assert found.verdict is Verdict.EFFECT
    assert found.difference == pytest.approx(0.25)
    assert found.noise < 0.01
    assert found.prompts == len(BUILT_IN)
    assert found.tokens == 24 * len(BUILT_IN)
    assert not found.warning


def test_identical_answers_are_no_effect() -> None:
    found = proved(unchanged)
    assert found.verdict is Verdict.NO_EFFECT
    assert found.difference == 0.0


def test_a_difference_that_rounding_makes_is_not_called_an_effect() -> None:
    found = proved(moved(0.01))
    assert found.verdict is Verdict.UNCLEAR
    assert "rounding alone may make 0.100" in found.reason
    assert "--prompts FILE" in found.reason


def test_what_a_server_of_float32_tells_is_finer() -> None:
    assert proved(moved(0.01), dtype="all F32").verdict is Verdict.EFFECT
    assert proved(moved(0.01), dtype="Q4_K - Medium").verdict is Verdict.UNCLEAR


@pytest.mark.parametrize(
    ("dtype", "floor"),
    [("", BF16_FLOOR), ("bfloat16", BF16_FLOOR), ("Q8_0", BF16_FLOOR), ("float16", FP16_FLOOR),
     ("F16", FP16_FLOOR), ("float32", FP32_FLOOR), ("all F32", FP32_FLOOR), ("?", BF16_FLOOR)],
)  # fmt: skip
def test_an_unknown_type_has_the_coarsest_floor(dtype: str, floor: float) -> None:
    assert floor_of(dtype) == floor


def test_each_prompt_is_asked_without_with_and_again_without_the_adapter() -> None:
    client = FakeClient({"mine": moved(1)})
    seen: list[tuple[int, int]] = []
    prove(client, "mine", probes=["one two three", "four"], progress=lambda *at: seen.append(at))
    asked = [None, "mine", None]
    wanted = [("one two three", who) for who in asked] + [("four", who) for who in asked]
    assert client.asked == [*wanted, ("one two three", None)]
    assert seen == [(done, 7) for done in range(8)]


def test_a_server_that_answers_the_base_model_with_the_adapter_is_found_out() -> None:
    client = FakeClient({"mine": moved(0.5)})

    def mixed(numbers: list[float]) -> Sequence[float]:
        return moved(0.5)(numbers) if any(who for _, who in client.asked) else numbers

    client.base_answers = mixed
    found = prove(client, "mine")
    assert found.verdict is Verdict.UNCLEAR
    assert "answers the base model as it answers the adapter" in found.reason


def test_a_mix_that_shows_only_at_the_end_is_found_out() -> None:
    client = FakeClient({"mine": moved(0.5)})
    last = 3 * len(BUILT_IN) + 1
    client.base_answers = lambda x: moved(0.5)(x) if len(client.asked) == last else x
    assert prove(client, "mine").verdict is Verdict.UNCLEAR


def test_a_base_model_that_is_replaced_meanwhile_proves_nothing() -> None:
    client = FakeClient({"mine": moved(0.5)})
    client.base_answers = lambda x: [y - 2 for y in x] if len(client.asked) > 9 else x
    found = prove(client, "mine")
    assert found.verdict is Verdict.UNCLEAR
    assert "does not give the same answer twice" in found.reason


def test_noise_of_the_base_model_counts_against_the_adapter() -> None:
    client = FakeClient({"mine": moved(0.04)})
    client.base_answers = lambda x: moved(0.03 * (len(client.asked) % 3 == 0))(x)
    assert prove(client, "mine").verdict is Verdict.UNCLEAR
    client.adapters["mine"] = moved(0.4)
    client.asked.clear()
    found = prove(client, "mine")
    assert found.verdict is Verdict.EFFECT
    assert found.noise > 0.005


def test_an_adapter_of_another_base_model_is_warned_of() -> None:
    found = proved(lambda numbers: [-11.0 for _ in numbers])
    assert found.verdict is Verdict.EFFECT
    assert "probably garbage" in found.warning


def test_an_adapter_that_has_forgotten_one_kind_of_text_is_not_warned_of() -> None:
    def narrow(numbers: list[float]) -> list[float]:
        return [x - 5 for x in numbers] if sum(numbers) < -70 else [x + 0.5 for x in numbers]

    found = proved(narrow)
    assert found.verdict is Verdict.EFFECT
    assert not found.warning


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 0.5, -1e300])
def test_values_that_are_no_log_probabilities_are_an_error(bad: float) -> None:
    with pytest.raises(BackendError, match="for the adapter are no numbers") as caught:
        proved(lambda numbers: [*numbers[:-1], bad])
    assert "lora-tui spectrum" in (caught.value.remedy or "")


def test_answers_of_different_lengths_are_an_error() -> None:
    with pytest.raises(BackendError, match="different lengths"):
        proved(lambda numbers: numbers[:-1])


def test_an_empty_answer_is_an_error() -> None:
    with pytest.raises(BackendError, match="no log-probabilities"):
        proved(lambda _: [])


def test_an_adapter_that_the_server_does_not_have_is_an_error_before_any_question() -> None:
    client = FakeClient({"other": moved(1)})
    with pytest.raises(NotFoundError, match="does not have this adapter"):
        prove(client, "mine")
    assert not client.asked


def test_an_adapter_that_is_unloaded_meanwhile_proves_nothing() -> None:
    client = FakeClient({"mine": moved(1)})

    def unload() -> None:
        if len(client.asked) == 3 * len(BUILT_IN) + 1:
            del client.adapters["mine"]

    client.before = unload
    with pytest.raises(NotFoundError, match="does not have this adapter"):
        prove(client, "mine")


def test_a_server_that_dies_meanwhile_proves_nothing() -> None:
    client = FakeClient({"mine": moved(1)})

    def die() -> None:
        if len(client.asked) == 5:
            raise UnreachableError("gone")

    client.before = die
    with pytest.raises(UnreachableError):
        prove(client, "mine")


def test_a_server_that_does_not_answer_is_told_with_its_error() -> None:
    client = FakeClient({"mine": moved(1)})
    client.answers = False
    with pytest.raises(UnreachableError) as caught:
        prove(client, "mine")
    assert caught.value.details == "gone"


def test_a_proof_can_be_stopped_between_two_questions() -> None:
    client = FakeClient({"mine": moved(1)})

    def stop() -> None:
        if len(client.asked) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prove(client, "mine", check_stop=stop)
    assert len(client.asked) == 4


def test_built_in_prompts_have_enough_words_for_sixteen_tokens() -> None:
    assert all(len(text.split()) >= 16 for text in BUILT_IN)
    assert len(set(BUILT_IN)) == len(BUILT_IN) >= 6


# Properties of the verdict -----------------------------------------------------------------------

NUMBER = st.floats(-12, -0.01)
PROMPT = st.integers(1, 16).flatmap(lambda n: st.lists(NUMBER, min_size=n, max_size=n))
PROMPTS = st.lists(PROMPT, min_size=1, max_size=3)
CHANGE = st.floats(-1, 1, allow_subnormal=False)


def steady(base: list[list[float]], changes: list[float], factor: float = 1.0) -> list[Probed]:
    def one(numbers: list[float]) -> Probed:
        shifted = [x + factor * changes[at % len(changes)] for at, x in enumerate(numbers)]
        return Probed(numbers, shifted, numbers)

    return [one(numbers) for numbers in base]


@settings(max_examples=30, deadline=None)
@given(base=PROMPTS, changes=st.lists(CHANGE, min_size=1, max_size=7), factor=st.floats(1, 50))
def test_a_larger_change_is_never_less_of_an_effect(
    base: list[list[float]], changes: list[float], factor: float
) -> None:
    order = [Verdict.NO_EFFECT, Verdict.UNCLEAR, Verdict.EFFECT]
    small = judge(steady(base, changes), base[0])
    large = judge(steady(base, changes, factor), base[0])
    assert order.index(small.verdict) <= order.index(large.verdict)
    assert small.difference <= large.difference + 1e-12


@settings(max_examples=30, deadline=None)
@given(base=PROMPTS, changes=st.lists(CHANGE, min_size=1, max_size=7))
def test_base_and_adapter_may_be_exchanged(base: list[list[float]], changes: list[float]) -> None:
    answers = steady(base, changes)
    other = [Probed(each.adapted, each.base, each.adapted) for each in answers]
    one, two = judge(answers, base[0]), judge(other, other[0].base)
    assert (one.verdict, one.difference, one.noise) == (two.verdict, two.difference, two.noise)


@settings(max_examples=30, deadline=None)
@given(base=PROMPTS, changes=st.lists(CHANGE, min_size=1, max_size=7), floor=st.floats(1e-3, 1))
def test_what_moves_no_prompt_by_more_than_the_floor_is_no_effect(
    base: list[list[float]], changes: list[float], floor: float
) -> None:
    # the sum of absolute values bounds the change of a sum, and its length
    longest = max(math.fsum(abs(changes[at % len(changes)]) for at in range(len(x))) for x in base)
    factor = 0.999 * floor / longest if longest > floor else 1.0
    found = judge(steady(base, changes, factor), base[0], floor=floor)
    assert found.verdict is not Verdict.EFFECT


@settings(max_examples=30, deadline=None)
@given(base=PROMPTS, changes=st.lists(CHANGE, min_size=1, max_size=7))
def test_an_effect_is_shown_with_more_difference_than_noise(
    base: list[list[float]], changes: list[float]
) -> None:
    found = judge(steady(base, changes), base[0])
    if found.verdict is Verdict.EFFECT:
        assert found.difference > found.noise * (1 - 1e-9)
    if found.verdict is Verdict.NO_EFFECT:
        assert found.difference == 0
