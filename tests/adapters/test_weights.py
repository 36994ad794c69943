"""Figures of weights agree with the dense singular value decomposition; damage is always found."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_tui.adapters.config import read_config
from lora_tui.adapters.weight_facts import (
    facts_document,
    facts_from,
    layers_of,
    outliers_of,
    summarise,
)
from lora_tui.adapters.weights import measure_file
from lora_tui.errors import DiskError, IntegrityError
from tests.adapters.weight_files import DTYPES, Matrix, config, pair, rounded, write_tensors

RANDOM = np.random.default_rng(17)


def dense(scaling: float, up: Matrix, down: Matrix) -> Matrix:
    """The singular values of the product, computed the slow way."""
    found: Matrix = np.linalg.svd(scaling * up @ down, compute_uv=False)
    return found


def effective_rank(spectrum: Matrix) -> float:
    shares = spectrum[spectrum > spectrum[0] * 1e-12] / spectrum.sum()
    return math.exp(-float((shares * np.log(shares)).sum()))


@settings(max_examples=60, deadline=None)
@given(
    rank=st.integers(1, 24),
    inputs=st.integers(1, 70),
    outputs=st.integers(1, 70),
    dtype=st.sampled_from(DTYPES),
    alpha=st.sampled_from([0.5, 16.0, -8.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_figures_are_those_of_the_dense_decomposition(
    rank: int, inputs: int, outputs: int, dtype: str, alpha: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    down = rounded(random.normal(size=(rank, inputs)), dtype)
    up = rounded(random.normal(size=(outputs, rank)), dtype)
    with TemporaryDirectory() as directory:
        path = write_tensors(Path(directory) / "a.safetensors", pair("m", down, up), dtype)
        (module,) = measure_file(path, config(rank, alpha)).modules
    spectrum = dense(alpha / rank, up, down)[:rank]
    if spectrum[0] == 0:
        assert module.is_dead
        return
    assert module.norm == pytest.approx(np.linalg.norm(spectrum), rel=1e-6)
    assert module.largest == pytest.approx(spectrum[0], rel=1e-6)
    assert module.stable_rank == pytest.approx((spectrum**2).sum() / spectrum[0] ** 2, rel=1e-6)
    assert module.effective_rank == pytest.approx(effective_rank(spectrum), rel=1e-4)
    energy = np.cumsum(spectrum**2) / (spectrum**2).sum()
    for directions, share in module.energy_by_directions.items():
        assert share == pytest.approx(energy[min(directions, len(energy)) - 1], rel=1e-6)


def test_a_product_of_low_rank_has_that_effective_rank(tmp_path: Path) -> None:
    down = RANDOM.normal(size=(16, 1)) @ RANDOM.normal(size=(1, 300))
    up = RANDOM.normal(size=(200, 16))
    path = write_tensors(tmp_path / "a.safetensors", pair("m", down, up), "F64")
    (module,) = measure_file(path, config(16, 16)).modules
    assert module.effective_rank == pytest.approx(1, abs=1e-5)
    assert module.energy[0] == pytest.approx(1)


def test_matrices_larger_than_a_piece_give_the_same_figures(tmp_path: Path) -> None:
    down, up = RANDOM.normal(size=(64, 9000)), RANDOM.normal(size=(9000, 64))
    tensors = pair("m", rounded(down, "BF16"), rounded(up, "BF16"))
    path = write_tensors(tmp_path / "a.safetensors", tensors, "BF16")
    (module,) = measure_file(path, None).modules
    grams = [
        values @ values.T if values.shape[0] == 64 else values.T @ values
        for values in tensors.values()
    ]
    assert module.norm == pytest.approx(math.sqrt(float((grams[0] * grams[1]).sum())), rel=1e-9)
    assert module.scaling is None


def test_a_convolution_counts_as_the_matrix_of_its_kernels(tmp_path: Path) -> None:
    down, up = RANDOM.normal(size=(8, 3, 5, 5)), RANDOM.normal(size=(20, 8, 1, 1))
    path = write_tensors(tmp_path / "a.safetensors", pair("conv", down, up), "F64")
    (module,) = measure_file(path, config(8, 16)).modules
    spectrum = dense(2.0, up.reshape(20, 8), down.reshape(8, -1))
    assert module.norm == pytest.approx(np.linalg.norm(spectrum))
    assert module.largest == pytest.approx(spectrum[0])


def test_a_grouped_convolution_is_a_block_diagonal_matrix(tmp_path: Path) -> None:
    down, up = RANDOM.normal(size=(8, 6, 3, 3)), RANDOM.normal(size=(20, 4, 1, 1))
    path = write_tensors(tmp_path / "a.safetensors", pair("conv", down, up), "F64")
    (module,) = measure_file(path, config(8, 8)).modules
    whole = np.zeros((20, 8))
    whole[:10, :4], whole[10:, 4:] = up[:10, :, 0, 0], up[10:, :, 0, 0]
    spectrum = dense(1.0, whole, down.reshape(8, -1))
    assert module.norm == pytest.approx(np.linalg.norm(spectrum))
    assert module.largest == pytest.approx(spectrum[0])


def test_an_embedding_is_evaluated_like_any_other_module(tmp_path: Path) -> None:
    down, up = RANDOM.normal(size=(4, 90)), RANDOM.normal(size=(32, 4))
    start = "base_model.model.model.embed_tokens.lora_embedding_"
    path = write_tensors(tmp_path / "a.safetensors", {f"{start}A": down, f"{start}B": up}, "F64")
    (module,) = measure_file(path, config(4, 4)).modules
    assert module.name == "model.embed_tokens"
    assert module.norm == pytest.approx(np.linalg.norm(dense(1.0, up, down)))


def test_experts_that_share_matrices_are_evaluated_one_by_one(tmp_path: Path) -> None:
    """PEFT: A is experts × rank rows of inputs; B is outputs of rank × experts."""
    experts, rank = 4, 3
    down, up = RANDOM.normal(size=(experts * rank, 40)), RANDOM.normal(size=(30, rank * experts))
    name = "model.layers.0.mlp.experts"
    path = write_tensors(tmp_path / "a.safetensors", pair(name, down, up), "F64")
    settings = config(rank, 6, target_parameters=["mlp.experts.gate_up_proj"])
    (module,) = measure_file(path, settings).modules
    spectra = [
        dense(2.0, up.reshape(30, rank, experts)[:, :, e], down.reshape(experts, rank, 40)[e])
        for e in range(experts)
    ]
    assert module.experts == experts
    assert module.rank == rank
    assert module.norm == pytest.approx(math.hypot(*(np.linalg.norm(s) for s in spectra)))
    assert module.largest == pytest.approx(max(s[0] for s in spectra))
    assert module.effective_rank == pytest.approx(
        np.mean([effective_rank(s[:rank]) for s in spectra])
    )


def test_ranks_and_alphas_of_patterns_scale_their_modules(tmp_path: Path) -> None:
    tensors = pair("layers.0.q_proj", np.ones((8, 4)), np.ones((4, 8)))
    tensors |= pair("layers.1.q_proj", np.ones((2, 4)), np.ones((4, 2)))
    settings = config(
        8, 16, rank_pattern={"layers.1.q_proj": 2}, alpha_pattern={"layers.1.q_proj": 3}
    )
    path = write_tensors(tmp_path / "a.safetensors", tensors)
    assert [m.scaling for m in measure_file(path, settings).modules] == [2.0, 1.5]
    rslora = config(4, 8, use_rslora=True)
    path = write_tensors(tmp_path / "b.safetensors", pair("m", np.ones((4, 9)), np.ones((9, 4))))
    assert [m.scaling for m in measure_file(path, rslora).modules] == [4.0]


@pytest.mark.parametrize("experts", [0, 3])
def test_matrices_of_mlx_are_read_as_it_writes_them(tmp_path: Path, experts: int) -> None:
    """Inputs × rank and rank × outputs; stacked experts have them the other way round."""
    stack = (experts,) if experts else ()
    down, up = RANDOM.normal(size=(*stack, 4, 30)), RANDOM.normal(size=(*stack, 20, 4))
    tensors = {
        "layers.0.q.lora_a": down if experts else np.ascontiguousarray(down.T),
        "layers.0.q.lora_b": up if experts else np.ascontiguousarray(up.T),
    }
    path = write_tensors(tmp_path / "adapters.safetensors", tensors, "F64")
    mlx = json.dumps({"fine_tune_type": "lora", "lora_parameters": {"rank": 4, "scale": 20.0}})
    (module,) = measure_file(path, read_config(mlx.encode())).modules
    assert module.norm == pytest.approx(20 * float(np.linalg.norm(up @ down)))
    assert (module.experts, module.scaling) == (max(1, experts), 20.0)


@pytest.mark.parametrize("setting", ["use_qalora", "use_bdlora", "kasa_config"])
def test_variants_with_another_product_are_said_not_to_be_evaluated(
    tmp_path: Path, setting: str
) -> None:
    path = write_tensors(tmp_path / "a.safetensors", pair("m", np.ones((2, 4)), np.ones((4, 2))))
    settings = config(2, 2, **{setting: {"nblocks": 2} if setting != "use_qalora" else True})
    (module,) = measure_file(path, settings).modules
    assert module.norm is None
    assert "B·A is not all of it" in (module.problem or "")


def test_experts_without_a_configuration_are_said_not_to_be_evaluated(tmp_path: Path) -> None:
    tensors = pair("layers.0.mlp.experts", np.ones((8, 5)), np.ones((5, 8)))
    (module,) = measure_file(write_tensors(tmp_path / "a.safetensors", tensors), None).modules
    assert module.norm is None
    assert "experts" in (module.problem or "")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["m.lora_A.weight", "m.lora_B.weight", "score.weight"])
def test_one_value_that_is_no_number_is_found_in_any_tensor(
    tmp_path: Path, dtype: str, bad: float, name: str
) -> None:
    tensors = {**pair("m", np.ones((4, 50)), np.ones((60, 4))), "score.weight": np.ones((3, 7))}
    full = name if name in tensors else f"base_model.model.{name}"
    path = write_tensors(tmp_path / "a.safetensors", tensors, dtype)
    content = bytearray(path.read_bytes())
    special = {
        "BF16": {math.nan: 0x7FC1, math.inf: 0x7F80, -math.inf: 0xFF80},
        "F8_E4M3": {math.nan: 0x7F, math.inf: 0xFF, -math.inf: 0xFF},
        "F8_E5M2": {math.nan: 0xFF, math.inf: 0x7C, -math.inf: 0xFC},
    }.get(dtype)
    if special is None:
        value = np.array(bad, f"<f{int(dtype[1:]) // 8}").tobytes()
    else:
        value = int(special[bad]).to_bytes(2 if dtype == "BF16" else 1, "little")
    position = len(content)
    for other in reversed(tensors):
        position -= tensors[other].size * len(value)
        if other == full:
            break
    place = position + 5 * len(value)
    content[place : place + len(value)] = value
    path.write_bytes(content)

    facts = measure_file(path, config(4, 8))

    (damaged,) = facts.damaged
    assert damaged.name == full.removeprefix("base_model.model.")
    counts = (0, 1) if math.isinf(bad) and dtype != "F8_E4M3" else (1, 0)
    assert (damaged.nan, damaged.infinite) == counts
    assert summarise(facts).is_damaged
    assert facts.modules[0].damaged == ("lora" in name)


def test_an_untrained_adapter_has_no_effect(tmp_path: Path) -> None:
    tensors: dict[str, Matrix] = {}
    for layer in range(3):
        tensors |= pair(
            f"model.layers.{layer}.q_proj", RANDOM.normal(size=(4, 8)), np.zeros((8, 4))
        )
    facts = measure_file(write_tensors(tmp_path / "a.safetensors", tensors), config(4, 8))
    assert facts.has_no_effect
    assert summarise(facts).has_no_effect
    assert not summarise(facts).is_damaged


def test_a_module_without_effect_is_told_from_those_that_have_one(tmp_path: Path) -> None:
    tensors = pair("layers.0.q", np.ones((2, 4)), np.ones((4, 2)))
    tensors |= pair("layers.1.q", np.ones((2, 4)), np.zeros((4, 2)))
    facts = measure_file(write_tensors(tmp_path / "a.safetensors", tensors), config(2, 2))
    assert [module.name for module in facts.dead] == ["layers.1.q"]
    assert not facts.has_no_effect


def test_the_smallest_values_of_a_type_are_no_zeros(tmp_path: Path) -> None:
    tiny = np.full((2, 4), 1e-40)
    path = write_tensors(tmp_path / "a.safetensors", pair("m", tiny, tiny.T), "F32")
    (module,) = measure_file(path, config(2, 2)).modules
    assert not module.is_dead


def test_adapters_other_than_lora_are_only_searched_for_damage(tmp_path: Path) -> None:
    tensors = {**pair("m", np.ones((2, 4)), np.ones((4, 2))), "m.lora_E": np.ones((2, 1))}
    path = write_tensors(tmp_path / "a.safetensors", tensors)
    facts = measure_file(path, config(2, 2, peft_type="ADALORA"))
    assert facts.modules == ()
    assert facts.tensors == facts.other_tensors == 3


def test_a_third_factor_is_never_left_out_of_the_product(tmp_path: Path) -> None:
    tensors = {**pair("m", np.ones((2, 4)), np.ones((4, 2)))}
    tensors["base_model.model.m.lora_diag"] = np.ones(2)
    (module,) = measure_file(
        write_tensors(tmp_path / "a.safetensors", tensors), config(2, 2)
    ).modules
    assert module.norm is None
    assert "lora_diag" in (module.problem or "")


def test_kohyas_alpha_scales_its_module(tmp_path: Path) -> None:
    tensors = {
        "lora_unet_x.lora_down.weight": np.ones((2, 4)),
        "lora_unet_x.lora_up.weight": np.ones((4, 2)),
        "lora_unet_x.alpha": np.array(1.0),
    }
    (module,) = measure_file(write_tensors(tmp_path / "a.safetensors", tensors), None).modules
    assert module.scaling == 0.5


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"m.lora_A.weight": np.ones((2, 4))}, "missing"),
        (pair("m", np.ones((2, 4)), np.ones((4, 3))), "do not match"),
        (pair("m", np.ones((2, 0)), np.ones((4, 2))), "empty"),
        (pair("m", np.ones((0, 4)), np.ones((4, 0))), "empty"),
        (pair("m", np.ones((4097, 1)), np.ones((1, 4097))), "above 4096"),
        (pair("m", np.ones((2, 4, 3, 3)), np.ones((4, 2, 3, 3))), "1 × 1"),
    ],
)
def test_matrices_that_are_no_pair_are_named_with_the_reason(
    tmp_path: Path, tensors: dict[str, Matrix], words: str
) -> None:
    path = write_tensors(tmp_path / "a.safetensors", tensors)
    (module,) = measure_file(path, config(2, 2)).modules
    assert module.norm is None
    assert words in (module.problem or "")


def test_ranks_beyond_the_effort_get_at_least_their_norm(tmp_path: Path) -> None:
    down, up = RANDOM.normal(size=(16, 40)), RANDOM.normal(size=(30, 16))
    path = write_tensors(tmp_path / "a.safetensors", pair("m", down, up), "F64")
    (module,) = measure_file(path, config(16, 16), effort=16 * 70 * 16 + 100).modules
    assert module.norm == pytest.approx(np.linalg.norm(up @ down))
    assert module.largest is None
    assert "rank" in (module.problem or "")


def test_what_would_take_too_long_is_still_searched_for_damage(tmp_path: Path) -> None:
    tensors = pair("m", np.full((4, 9), math.nan), np.ones((9, 4)))
    path = write_tensors(tmp_path / "a.safetensors", tensors)
    facts = measure_file(path, None, effort=0)
    assert facts.modules[0].damaged
    assert "too long" in (facts.modules[0].problem or "")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = write_tensors(tmp_path / "a.safetensors", pair("m", np.ones((2, 4)), np.ones((4, 2))))

    def cut() -> None:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - 8)

    with pytest.raises(IntegrityError, match="changed while"):
        measure_file(path, None, check_stop=cut)


def test_a_file_that_is_gone_or_cut_short_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DiskError):
        measure_file(tmp_path / "none.safetensors", None)
    path = write_tensors(tmp_path / "a.safetensors", pair("m", np.ones((2, 4)), np.ones((4, 2))))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(IntegrityError, match="cut short"):
        measure_file(path, None)


def test_facts_survive_the_cache(tmp_path: Path) -> None:
    tensors = pair("layers.0.q", RANDOM.normal(size=(4, 9)), RANDOM.normal(size=(7, 4)))
    tensors |= {"score.weight": np.array([math.nan])}
    facts = measure_file(write_tensors(tmp_path / "a.safetensors", tensors), config(4, 8))
    assert facts_from(facts_document(facts)) == facts


def test_a_module_whose_norm_is_far_from_its_siblings_is_named(tmp_path: Path) -> None:
    tensors: dict[str, Matrix] = {}
    for layer in range(12):
        size = 40.0 if layer == 7 else 1.0 + 0.01 * layer
        for target in ("q_proj", "v_proj"):
            high = size if target == "q_proj" else 3.0
            tensors |= pair(
                f"model.layers.{layer}.{target}", np.ones((2, 4)), high * np.ones((4, 2))
            )
    facts = measure_file(write_tensors(tmp_path / "a.safetensors", tensors), config(2, 2))
    (outlier,) = outliers_of(facts.modules)
    assert outlier.module.name == "model.layers.7.q_proj"
    assert [layer.number for layer in layers_of(facts.modules)] == list(range(12))


def test_one_thread_of_the_machine_is_enough() -> None:
    code = "import os, lora_tui.adapters.weights; print(os.environ['OPENBLAS_NUM_THREADS'])"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={}
    )
    assert run.stdout.strip() == "1"
