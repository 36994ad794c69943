"""The types of adapter that PEFT 0.21 knows, and how each names its tensors, rank and scaling.

From peft/utils/peft_types.py and, for each type, the `prefix` of its model and the attributes that
its layers set from the configuration (tuners/*/config.py and layer.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Scaling(Enum):
    """How the factor of a module's update follows from the configuration."""

    NONE = "none"
    """The layer has no such factor, or learns it."""
    LORA = "alpha / r, or alpha / sqrt(r) with rsLoRA"
    OVER_RANK = "alpha / r"
    ADALORA = "alpha, or r where alpha is not positive"
    FIELD = "a setting of its own"
    ONE = "1"


@dataclass(frozen=True)
class PeftKind:
    """What is to be known of one type."""

    title: str
    """Its usual name."""
    summary: str
    """What it trains, as the end of `this adapter trains …`."""
    tensors: tuple[str, ...] = ()
    """How the parts of tensor names begin that belong to a module: `hada_`."""
    rank: str = ""
    """The setting with the rank of every module; empty where layers have none."""
    alpha: str = ""
    """The setting with alpha, or with the scaling itself."""
    scaling: Scaling = Scaling.NONE
    patterns: bool = False
    """Whether `rank_pattern` and `alpha_pattern` change single modules."""


def _kind(
    title: str,
    summary: str,
    *tensors: str,
    rank: str = "",
    alpha: str = "",
    scaling: Scaling = Scaling.NONE,
    patterns: bool = False,
) -> PeftKind:
    return PeftKind(title, summary, tensors, rank, alpha, scaling, patterns)


LORA: Final = "LORA"

PEFT_KINDS: Final = {
    LORA: _kind(
        "LoRA",
        "a pair of low-rank matrices beside each target module",
        "lora_",
        rank="r",
        alpha="lora_alpha",
        scaling=Scaling.LORA,
        patterns=True,
    ),
    "ADALORA": _kind(
        "AdaLoRA",
        "low-rank matrices with a rank for each module that training chooses",
        "lora_",
        rank="init_r",
        alpha="lora_alpha",
        scaling=Scaling.ADALORA,
    ),
    "ADAMSS": _kind("AdaMSS", "matrices on clustered subspaces of each weight", "adamss_"),
    "ADAPTION_PROMPT": _kind(
        "LLaMA-Adapter", "prompts that the upper attention layers see, with a gate", "adaption_"
    ),
    "BEFT": _kind("BEFT", "bias vectors of the target modules", "beft_"),
    "BOFT": _kind("BOFT", "rotations of the weights, as butterfly factors", "boft_"),
    "C3A": _kind("C3A", "circular convolution kernels", "c3a_"),
    "CARTRIDGE": _kind("Cartridge", "a stored key-value cache that stands for a long text"),
    "CPT": _kind("CPT", "the embeddings of a context prompt"),
    "DEFT": _kind("DEFT", "a projection of each weight and an injection beside it", "deft_"),
    "DELORA": _kind(
        "DeLoRA",
        "normalised low-rank matrices with a learned strength",
        "delora_",
        rank="r",
        patterns=True,
    ),
    "FOURIERFT": _kind("FourierFT", "a few Fourier coefficients of each update", "fourierft_"),
    "FROD": _kind("FRoD", "rotations with few trained coefficients", "frod_"),
    "GLORA": _kind(
        "GLoRA", "low-rank terms that scale and shift weight and bias", "glora_", rank="r"
    ),
    "GRALORA": _kind(
        "GraLoRA",
        "low-rank matrices for each block of a weight",
        "gralora_",
        rank="r",
        alpha="alpha",
        scaling=Scaling.OVER_RANK,
    ),
    "HIRA": _kind(
        "HiRA",
        "low-rank matrices that are multiplied with the weight element by element",
        "hira_",
        rank="r",
        patterns=True,
    ),
    "HRA": _kind("HRA", "Householder reflections of the weights", "hra_"),
    "IA3": _kind("IA³", "one factor for each activation of the target modules", "ia3_"),
    "LILY": _kind(
        "Lily",
        "low-rank matrices that layers share through a router",
        "lily_",
        rank="r",
        alpha="scaling",
        scaling=Scaling.FIELD,
    ),
    "LN_TUNING": _kind("LN tuning", "the layer norms themselves", "ln_tuning_"),
    "LOHA": _kind(
        "LoHa",
        "the Hadamard product of two low-rank products",
        "hada_",
        rank="r",
        alpha="alpha",
        scaling=Scaling.OVER_RANK,
        patterns=True,
    ),
    "LOKR": _kind(
        "LoKr",
        "the Kronecker product of small matrices",
        "lokr_",
        rank="r",
        alpha="alpha",
        scaling=Scaling.OVER_RANK,
        patterns=True,
    ),
    "MISS": _kind("MiSS", "one shared block that is expanded to each weight", "miss_"),
    "MULTITASK_PROMPT_TUNING": _kind(
        "multitask prompt tuning", "a prompt that tasks share and low-rank terms for each task"
    ),
    "OFT": _kind("OFT", "orthogonal rotations of the weights", "oft_"),
    "OSF": _kind("OSF", "the small singular directions of each weight", "osf_"),
    "PEANUT": _kind(
        "PEANuT",
        "small neural networks that compute each update",
        "peanut_",
        rank="r",
        alpha="scaling",
        scaling=Scaling.FIELD,
    ),
    "POLY": _kind("Poly", "LoRA skills that a router mixes for each task", "poly_", rank="r"),
    "PREFIX_TUNING": _kind("prefix tuning", "keys and values before the text, in each layer"),
    "PROMPT_TUNING": _kind("prompt tuning", "the embeddings of virtual tokens"),
    "PSOFT": _kind(
        "PSOFT",
        "rotations in the principal subspace of each weight",
        "psoft_",
        rank="r",
        alpha="psoft_alpha",
        scaling=Scaling.OVER_RANK,
    ),
    "PVERA": _kind(
        "PVeRA", "vectors beside shared random matrices, with noise", "pvera_", rank="r"
    ),
    "P_TUNING": _kind("P-tuning", "virtual tokens that a small network produces"),
    "RANDLORA": _kind(
        "RandLoRA",
        "factors of random bases",
        "randlora_",
        rank="r",
        alpha="randlora_alpha",
        scaling=Scaling.OVER_RANK,
    ),
    "ROAD": _kind("RoAd", "rotations of pairs of activations", "road_"),
    "SHADOW": _kind("Shadow", "a small network beside whole transformer blocks", "shadow_"),
    "SHIRA": _kind(
        "SHiRA", "a sparse part of each weight", "shira_", rank="r", scaling=Scaling.ONE
    ),
    "SUPERTUNING": _kind("Supertuning", "the largest values of each weight", "supertuning_"),
    "TINYLORA": _kind(
        "TinyLoRA",
        "a few numbers beside frozen singular vectors of the weights",
        "tinylora_",
        rank="r",
    ),
    "TRAINABLE_TOKENS": _kind(
        "trainable tokens", "the embeddings of chosen tokens", "trainable_tokens_"
    ),
    "UNILORA": _kind(
        "Uni-LoRA", "one vector from which all low-rank matrices follow", "unilora_", rank="r"
    ),
    "VBLORA": _kind(
        "VB-LoRA", "low-rank matrices mixed from a bank of vectors", "vblora_", rank="r"
    ),
    "VERA": _kind("VeRA", "vectors beside shared random matrices", "vera_", rank="r"),
    "WAVEFT": _kind("WaveFT", "a few wavelet coefficients of each update", "waveft_"),
    "XLORA": _kind("X-LoRA", "a classifier that mixes other LoRA adapters"),
}  # fmt: skip
"""`peft_type` → what is known of it."""

GONE: Final = {"BONE": "MISS"}
"""Types that PEFT no longer reads → the type that took their place."""

TASK_TYPES: Final = (
    "SEQ_CLS", "SEQ_2_SEQ_LM", "CAUSAL_LM", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION",
)  # fmt: skip
"""The values of `task_type` that PEFT accepts, beside none."""
