"""Reads `adapter_config.json`, and computes a module's rank, alpha and scaling as PEFT does.

Pure functions on untrusted bytes. The names of settings and what they do are those of PEFT 0.21
(tuners/lora/config.py, tuners/lora/model.py); MLX writes a file of the same name with others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, Final, TypeVar

from lora_tui.adapters.config_faults import config_faults
from lora_tui.adapters.patterns import Work, first_match
from lora_tui.adapters.peft_types import LORA, PEFT_KINDS, PeftKind, Scaling
from lora_tui.errors import IntegrityError
from lora_tui.text import terminal_safe

CONFIG: Final = "adapter_config.json"
"""The file that this module reads."""
MAX_CONFIG_BYTES: Final = 4 << 20

_MAX_NUMBER: Final = 1 << 62
_DEFAULTS: Final = {LORA: (8, 8.0), "ADALORA": (12, 8.0), "LOHA": (8, 8.0), "LOKR": (8, 8.0)}
"""`peft_type` → rank and alpha where the file has none."""
_VARIANTS: Final = (
    ("use_dora", "DoRA"),
    ("alora_invocation_tokens", "aLoRA"),
    ("use_qalora", "QALoRA"),
    ("use_bdlora", "BD-LoRA"),
    ("velora_config", "VeLoRA"),
    ("kasa_config", "KaSA"),
    ("arrow_config", "Arrow"),
    ("monteclora_config", "MonteCLoRA"),
)

_Value = TypeVar("_Value", int, float)


@dataclass(frozen=True)
class AdapterConfig:
    """The settings of `adapter_config.json` that matter to whoever loads the adapter.

    Texts are safe for a terminal, but for the regular expressions: the keys of `rank_pattern` and
    `alpha_pattern`, `target_pattern` and `exclude_pattern` are as in the file.
    """

    peft_type: str
    """As in the file; empty where it names none."""
    base_model: str
    rank: int | None
    """None where the type has no rank."""
    alpha: float | None
    """For types that name their scaling instead of an alpha, that scaling."""
    target_modules: tuple[str, ...] | None
    """None where the configuration has a pattern or leaves the choice to PEFT."""
    modules_to_save: tuple[str, ...]
    rank_pattern: Mapping[str, int]
    """Regular expression → rank, in the order of the file; the first that matches counts."""
    rslora: bool
    dora: bool
    format: str = "PEFT"
    """Whose settings these are: PEFT or MLX."""
    task_type: str = ""
    """`CAUSAL_LM` and the like; empty where the file names none."""
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    """Like `rank_pattern`, and looked up apart from it."""
    target_pattern: str = ""
    """`target_modules` where it is a regular expression, or `all-linear`."""
    target_parameters: tuple[str, ...] = ()
    """Parameters that are no modules, such as the stacked experts of a MoE layer."""
    exclude_modules: tuple[str, ...] = ()
    exclude_pattern: str = ""
    layers_to_transform: tuple[int, ...] | None = None
    layers_pattern: tuple[str, ...] = ()
    layer_replication: tuple[tuple[int, int], ...] = ()
    trainable_tokens: Mapping[str, int] = field(default_factory=dict)
    """Module → how many of its tokens are trained; the key is empty for the input embeddings."""
    bias: str = "none"
    """Which biases were trained: none, all, lora_only."""
    lora_bias: bool = False
    fan_in_fan_out: bool = False
    ensure_weight_tying: bool = False
    init_lora_weights: str = "true"
    """`true`, `false`, or the name of a method: `pissa_niter_4`, `olora`, `gaussian`."""
    variants: tuple[str, ...] = ()
    """What makes it more than plain LoRA: DoRA, aLoRA, QALoRA …"""
    hybrid_rank: int = 0
    """Of GraLoRA: the rank of the plain LoRA beside its blocks."""
    revision: str = ""
    """Of the base model."""
    faults: tuple[str, ...] = ()
    """Sentences: why PEFT raises an error for this configuration, whatever the weights."""

    @property
    def kind(self) -> PeftKind | None:
        """What is known of its type; None for one that PEFT 0.21 does not have."""
        return PEFT_KINDS.get(self.peft_type)

    @property
    def is_lora(self) -> bool:
        """Whether the weights are pairs of matrices that `rank` and `alpha` describe."""
        return self.peft_type in ("", LORA)

    @cached_property
    def target_names(self) -> frozenset[str]:
        """`target_modules` for looking up many names."""
        return frozenset(self.target_modules or ())

    @property
    def alora(self) -> bool:
        """Whether the adapter applies only after its invocation tokens."""
        return "aLoRA" in self.variants

    @property
    def scaling(self) -> float | None:
        """The factor of a module's update where no pattern changes its rank or alpha."""
        return scaling_of(self, self.rank, self.alpha)


@dataclass(frozen=True)
class ModuleSettings:
    """What PEFT takes for one module; None where it is not known."""

    rank: int | None
    alpha: float | None
    scaling: float | None
    """The factor of the product of both matrices."""


def module_settings(
    config: AdapterConfig, module_name: str, work: Work | None = None
) -> ModuleSettings:
    """The rank, alpha and scaling that the configuration gives a module.

    The name is that of the base model, without `base_model.model.`; for one of the
    `target_parameters` it ends in the parameter's: `model.layers.0.mlp.experts.down_proj`.
    PEFT looks rank and alpha up separately, each by the first key that matches. `work` bounds the
    time that untrusted patterns take for all calls that share it.
    """
    rank, alpha = config.rank, config.alpha
    if config.kind is None or config.kind.patterns:
        work = work or Work()
        rank = _looked_up(config.rank_pattern, module_name, rank, work)
        alpha = _looked_up(config.alpha_pattern, module_name, alpha, work)
    return ModuleSettings(rank, alpha, scaling_of(config, rank, alpha))


def scaling_of(config: AdapterConfig, rank: int | None, alpha: float | None) -> float | None:
    """The scaling of a module with this rank and alpha; None where there is none.

    tuners/lora/layer.py: alpha / r, or alpha / sqrt(r) with rsLoRA; adalora/layer.py: alpha where
    it is positive, else r; gralora/layer.py: alpha / (r + hybrid_r).
    """
    kind = config.kind or PEFT_KINDS[LORA]
    if config.format == "MLX" or kind.scaling is Scaling.FIELD:
        return alpha
    if kind.scaling is Scaling.ONE:
        return 1.0
    if kind.scaling is Scaling.NONE or rank is None or alpha is None:
        return None
    if kind.scaling is Scaling.ADALORA:
        return alpha if alpha > 0 else float(rank)
    if kind.scaling is Scaling.LORA and config.rslora:
        return alpha / math.sqrt(rank)
    return alpha / (rank + config.hybrid_rank)


def read_config(content: bytes) -> AdapterConfig:
    """Read an `adapter_config.json`. Raises IntegrityError where it is not a JSON object."""
    if len(content) > MAX_CONFIG_BYTES:
        raise IntegrityError("adapter_config.json is too large")
    try:
        # as PEFT reads it: UTF-8 without a byte order mark; a repeated key counts as its last
        table = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise IntegrityError("adapter_config.json is not valid JSON") from error
    if not isinstance(table, dict):
        raise IntegrityError("adapter_config.json is not a JSON object")
    if "peft_type" not in table and ("lora_parameters" in table or "fine_tune_type" in table):
        return _mlx_config(table)
    return _peft_config(table)


def config_document(config: AdapterConfig) -> dict[str, Any]:
    """The configuration as JSON; `config_from` reads it."""
    return asdict(config)


def config_from(document: Mapping[str, Any]) -> AdapterConfig:
    """The configuration of a `config_document`, also of one that an older version wrote."""
    known = {each.name for each in fields(AdapterConfig)}
    values = {name: value for name, value in document.items() if name in known}
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = tuple(tuple(v) if isinstance(v, list) else v for v in value)
    return AdapterConfig(**values)


def _peft_config(table: Mapping[str, Any]) -> AdapterConfig:
    peft_type = terminal_safe(table.get("peft_type") or "", limit=40)
    kind = PEFT_KINDS.get(peft_type, PEFT_KINDS[LORA])
    rank, alpha = _DEFAULTS.get(peft_type, (None, None))
    targets, excluded = table.get("target_modules"), table.get("exclude_modules")
    layers = table.get("layers_to_transform")
    return AdapterConfig(
        peft_type=peft_type,
        base_model=terminal_safe(table.get("base_model_name_or_path") or "", limit=300),
        revision=terminal_safe(table.get("revision") or "", limit=100),
        task_type=terminal_safe(table.get("task_type") or "", limit=40),
        rank=_whole(table.get(kind.rank, rank)) if kind.rank else None,
        alpha=_number(table.get(kind.alpha, alpha)) if kind.alpha else None,
        hybrid_rank=(_whole(table.get("hybrid_r")) or 0) if peft_type == "GRALORA" else 0,
        target_modules=_names(targets) if isinstance(targets, list) and targets else None,
        target_pattern=targets if isinstance(targets, str) else "",
        target_parameters=_names(table.get("target_parameters")),
        exclude_modules=_names(excluded),
        exclude_pattern=excluded if isinstance(excluded, str) else "",
        layers_to_transform=_layers(layers),
        layers_pattern=_one_or_more(table.get("layers_pattern")),
        layer_replication=_ranges(table.get("layer_replication")),
        modules_to_save=_names(table.get("modules_to_save")),
        trainable_tokens=_tokens(table.get("trainable_token_indices")),
        rank_pattern={
            name: rank
            for name, value in _table(table.get("rank_pattern")).items()
            if (rank := _whole(value)) is not None
        },
        alpha_pattern={
            name: alpha
            for name, value in _table(table.get("alpha_pattern")).items()
            if (alpha := _number(value)) is not None
        },
        rslora=kind.scaling is Scaling.LORA and bool(table.get("use_rslora")),
        dora=bool(table.get("use_dora")),
        bias=terminal_safe(table.get("bias") or "none", limit=40),
        lora_bias=bool(table.get("lora_bias")),
        fan_in_fan_out=bool(table.get("fan_in_fan_out")),
        ensure_weight_tying=bool(table.get("ensure_weight_tying")),
        init_lora_weights=_method(table.get("init_lora_weights", True)),
        variants=tuple(
            name
            for key, name in _VARIANTS
            if table.get(key) not in (None, False) and kind.title in ("LoRA", "AdaLoRA")
        ),
        faults=config_faults(table),
    )


def _mlx_config(table: Mapping[str, Any]) -> AdapterConfig:
    """The settings of mlx-lm, whose `scale` is the scaling itself."""
    settings = _table(table.get("lora_parameters"))
    rank, scale = _whole(settings.get("rank")), _number(settings.get("scale"))
    alpha = _number(settings.get("alpha"))
    if scale is None and rank is not None and alpha is not None:  # files of mlx-lm before 0.19
        scale = alpha / rank
    kind = terminal_safe(table.get("fine_tune_type") or "lora", limit=40)
    return AdapterConfig(
        peft_type="",
        format="MLX",
        base_model=terminal_safe(table.get("model") or "", limit=300),
        rank=rank,
        alpha=scale,
        target_modules=_names(settings.get("keys")) or None,
        modules_to_save=(),
        rank_pattern={},
        rslora=False,
        dora=kind == "dora",
        variants=("DoRA",) if kind == "dora" else (),
    )


def _looked_up(
    pattern: Mapping[str, _Value], name: str, usual: _Value | None, work: Work
) -> _Value | None:
    if not pattern:
        return usual
    found = first_match(pattern, name, work)
    if not found.decided:
        return None
    return usual if found.key is None else pattern[found.key]


def _names(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list) else []
    return tuple(terminal_safe(item, limit=300) for item in items if isinstance(item, str))


def _one_or_more(value: object) -> tuple[str, ...]:
    return _names([value] if isinstance(value, str) and value else value)


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _layers(value: object) -> tuple[int, ...] | None:
    items = value if isinstance(value, list) else [value]
    found = tuple(item for item in items if type(item) is int)
    return found or None


def _ranges(value: object) -> tuple[tuple[int, int], ...]:
    items = value if isinstance(value, list) else []
    return tuple(
        (item[0], item[1])
        for item in items
        if isinstance(item, list) and len(item) == 2 and all(type(end) is int for end in item)
    )


def _tokens(value: object) -> dict[str, int]:
    found = value if isinstance(value, dict) else {"": value}
    return {
        terminal_safe(name, limit=300): len(tokens)
        for name, tokens in found.items()
        if isinstance(tokens, list)
    }


def _method(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return "true" if value else "false"
    return terminal_safe(value, limit=60)


def _whole(value: object) -> int | None:
    return value if type(value) is int and 0 < value < _MAX_NUMBER else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
