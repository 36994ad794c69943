"""A random expression matches a name as Python matches it, or is undecided."""

from __future__ import annotations

import re

from hypothesis import assume, given
from hypothesis import strategies as st

from lora_tui.adapters.patterns import first_match, is_invalid, matches_whole
from tests.fuzz.conftest import examples

_atoms = st.sampled_from(
    ("a", "b", ".", r"\.", "[ab]", "[^a]", r"\w", r"\d", "0", "[a-c_]", r"\S", r"\b", "^", "$")
)
_repeats = st.sampled_from(("", "*", "+", "?", "*?", "{0,2}", "{2}", "{1,}", "{,3}"))
_expressions = st.recursive(
    _atoms,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join),
        st.tuples(st.sampled_from(("(", "(?:", "(?=", "(?!")), inner, _repeats).map(
            lambda parts: f"{parts[0]}{parts[1]}){parts[2]}"
        ),
    ),
    max_leaves=8,
)
_names = st.text("ab.0_", max_size=9)


@given(key=_expressions, name=_names)
@examples(400)
def test_any_expression_is_matched_as_python_matches_it(key: str, name: str) -> None:
    try:
        ending, whole = re.compile(rf"(.*\.)?({key})$"), re.compile(key)
    except re.error:
        assume(False)
    assert not is_invalid(key)
    found = first_match([key], name)
    if found.decided:
        assert (found.key is not None) is (ending.match(name) is not None or key == name)
    matched = matches_whole(key, name)
    if matched is not None:
        assert matched is (whole.fullmatch(name) is not None)
