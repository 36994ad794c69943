"""Joins the weights with the configuration: each adapted module with its rank, alpha and scaling.

The matrices tell the rank, the configuration tells alpha. Two kinds need both: stacked experts
(`target_parameters`), whose first matrix has rank × experts rows, and types other than LoRA, whose
tensors are counted by module and whose rank is a setting.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Final

from lora_tui import formats
from lora_tui.adapters.config import AdapterConfig, ModuleSettings, module_settings, scaling_of
from lora_tui.adapters.header import LoraHeader
from lora_tui.adapters.patterns import Work
from lora_tui.adapters.peft_types import LORA
from lora_tui.adapters.targets import is_targeted
from lora_tui.adapters.tensor_names import INNER, PREFIX, LoraModule, target_of

_MAX_NESTED: Final = 4
_USUAL_ORDER: Final = ("gate_proj", "gate_up_proj", "up_proj", "down_proj")
"""How the expert modules of transformers define their parameters: the first is wrapped first."""


@dataclass(frozen=True)
class AdaptedModule:
    """A module of the base model with what the adapter does to it."""

    name: str
    """As in the file, without the prefix of PEFT; safe for a terminal."""
    rank: int | None
    alpha: float | None
    scaling: float | None
    """The factor of the product of both matrices; None where it is not known."""
    parameters: int
    """Of both matrices; 0 for types other than LoRA."""
    experts: int = 1
    """How many experts share the matrices; their rank is that of each."""
    parameter: str = ""
    """The parameter that is adapted, where it is not the module's weight: `gate_up_proj`."""
    of_parameter: bool = False
    """Whether it is one of the `target_parameters`."""
    settings: ModuleSettings | None = None
    """What the configuration has for it; None without a configuration."""

    @property
    def target(self) -> str:
        """The last part of the name, as in `target_modules`, or the parameter."""
        return self.parameter or target_of(self.name)


def adapted_modules(
    header: LoraHeader, config: AdapterConfig | None, alphas: Mapping[str, float] | None = None
) -> tuple[AdaptedModule, ...]:
    """The modules of the adapter in natural order.

    `alphas` are those that the file itself has, by module, as kohya's trainers write them.
    """
    if config is None:
        return tuple(_without_config(header, alphas or {}))
    if header.modules and (config.is_lora or config.peft_type == "ADALORA"):
        return tuple(_lora_modules(header.modules, config))
    return tuple(_other_modules(header, config))


def rank_counts(modules: Iterable[AdaptedModule]) -> dict[int, int]:
    """rank → number of modules with it, in order."""
    return dict(sorted(Counter(m.rank for m in modules if m.rank is not None).items()))


def scaling_counts(modules: Iterable[AdaptedModule]) -> dict[float, int]:
    """scaling → number of modules with it, in order."""
    return dict(sorted(Counter(m.scaling for m in modules if m.scaling is not None).items()))


def ranks_by_target(modules: Iterable[AdaptedModule]) -> dict[str, tuple[int, ...]]:
    """Target module → the ranks of its modules."""
    found: dict[str, set[int]] = {}
    for module in modules:
        ranks = found.setdefault(module.target, set())
        if module.rank is not None:
            ranks.add(module.rank)
    return {target: tuple(sorted(ranks)) for target, ranks in sorted(found.items())}


def ranks_text(modules: Iterable[AdaptedModule]) -> str:
    """`16`, or `8 (12 modules), 16 (84 modules)`; empty without modules."""
    return _counts_text({str(rank): count for rank, count in rank_counts(modules).items()})


def scalings_text(modules: Iterable[AdaptedModule]) -> str:
    """`2`, or the range with its ends: `0.5 to 4 (2 values in 96 modules)`; empty if unknown."""
    counts = scaling_counts(modules)
    if len(counts) <= 3:
        return _counts_text({formats.number(value): count for value, count in counts.items()})
    values = list(counts)
    return (
        f"{formats.number(values[0])} to {formats.number(values[-1])}"
        f" ({len(values)} values in {formats.counted(sum(counts.values()), 'module')})"
    )


def _counts_text(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f"{value} ({formats.counted(count, 'module')})" if len(counts) > 1 else value
        for value, count in counts.items()
    )


def _without_config(header: LoraHeader, alphas: Mapping[str, float]) -> Iterable[AdaptedModule]:
    for module in header.modules:
        alpha = alphas.get(module.name, header.stated_alpha)
        scaling = None if alpha is None or not module.rank else alpha / module.rank
        yield AdaptedModule(module.name, module.rank, alpha, scaling, module.parameters)


def _lora_modules(modules: Sequence[LoraModule], config: AdapterConfig) -> Iterable[AdaptedModule]:
    work = Work()
    experts = _expert_modules(modules, config, work)
    for module in modules:
        found = experts.get(module.name)
        if found is None:
            settings = module_settings(config, module.name, work)
            found = _joined(module, settings, config, module.rank)
        yield found


def _joined(
    module: LoraModule, settings: ModuleSettings, config: AdapterConfig, rank: int | None
) -> AdaptedModule:
    scaling = scaling_of(config, rank, settings.alpha) if rank else None
    return AdaptedModule(
        module.name, rank, settings.alpha, scaling, module.parameters, settings=settings
    )


def _expert_modules(
    modules: Sequence[LoraModule], config: AdapterConfig, work: Work
) -> dict[str, AdaptedModule]:
    """The wrappers of parameters, by their name in the file."""
    if not config.target_parameters:
        return {}
    nested: dict[str, list[LoraModule]] = {}
    for module in modules:
        nested.setdefault(module.name.replace(INNER, ""), []).append(module)
    found = {}
    for name, wrappers in nested.items():
        parameters = _parameters_of(name, config)
        if parameters and not is_targeted(config, name, work):
            # the first parameter was wrapped first, so it is the innermost
            wrappers.sort(key=lambda module: -module.name.count(INNER))
            for adapted in _assigned(name, wrappers, parameters, config, work):
                found[adapted.name] = adapted
    return found


def _parameters_of(name: str, config: AdapterConfig) -> list[str]:
    """The last parts of the target parameters that this module may have."""
    found = []
    for target in config.target_parameters:
        module, _, parameter = target.rpartition(".")
        if not module or name == module or name.endswith(f".{module}"):
            found.append(parameter)
    return sorted(set(found), key=_place)


def _place(parameter: str) -> tuple[int, str]:
    order = _USUAL_ORDER.index(parameter) if parameter in _USUAL_ORDER else len(_USUAL_ORDER)
    return order, parameter


def _assigned(
    name: str,
    wrappers: Sequence[LoraModule],
    parameters: Sequence[str],
    config: AdapterConfig,
    work: Work,
) -> Iterable[AdaptedModule]:
    """Which wrapper adapts which parameter, by the number of experts: it is the same for all.

    The order of the parameters in the base model is not in the file, only whether the rank of each
    divides the rows.
    """
    settings = {p: module_settings(config, f"{name}.{p}", work) for p in parameters}
    same = len(set(settings.values())) == 1
    chosen: Sequence[str] | None = None
    if len(wrappers) <= len(parameters) <= _MAX_NESTED:
        orders = list(permutations(parameters, len(wrappers)))
        counts = [_experts(wrappers, [settings[p].rank for p in order]) for order in orders]
        # a parameter of two dimensions, such as a bias, counts as one expert (ParamWrapper)
        most = 1 if any(len(each) == 1 for each in counts) else 2
        fitting = [
            order
            for order, each in zip(orders, counts, strict=True)
            if 0 < len(each) <= most and len(each - {1}) <= 1
        ]
        if fitting and (same or len({tuple(settings[p] for p in o) for o in fitting}) == 1):
            chosen = fitting[0]
        elif fitting and len(wrappers) == len(parameters) and set(parameters) <= {*_USUAL_ORDER}:
            chosen = next((order for order in fitting if order == tuple(parameters)), None)
    for place, module in enumerate(wrappers):
        if chosen is None:
            known = settings[parameters[0]] if same else ModuleSettings(None, None, None)
            rank = known.rank if known.rank and module.rank % known.rank == 0 else None
            yield replace(_joined(module, known, config, rank), of_parameter=True)
            continue
        known = settings[chosen[place]]
        joined = _joined(module, known, config, known.rank)
        certain = len(wrappers) == len(parameters)
        yield replace(
            joined,
            experts=module.rank // (known.rank or 1),
            parameter=chosen[place] if certain else "",
            of_parameter=True,
        )


def _experts(wrappers: Sequence[LoraModule], ranks: Sequence[int | None]) -> set[int]:
    """The numbers of experts that these ranks give; empty where one does not divide the rows."""
    counts = set()
    for module, rank in zip(wrappers, ranks, strict=True):
        if rank is None or module.rank % rank or not module.rank:
            return set()
        counts.add(module.rank // rank)
    return counts


def _other_modules(header: LoraHeader, config: AdapterConfig) -> Iterable[AdaptedModule]:
    """The modules of a type other than LoRA, by the names of their tensors."""
    kind = config.kind
    if kind is None or not kind.tensors or config.peft_type == LORA:
        return
    part = re.compile("|".join(map(re.escape, kind.tensors)))
    names = dict.fromkeys(
        ".".join(parts[:place])
        for parts in (name.removeprefix(PREFIX).split(".") for name in header.other_tensors)
        for place in [next((at for at, each in enumerate(parts) if part.match(each)), 0)]
        if place and parts[0] != "base_model"
    )
    work = Work()
    for name in names:
        settings = module_settings(config, name, work)
        rank = header.rows.get(name, settings.rank)
        scaling = scaling_of(config, rank, settings.alpha)
        yield AdaptedModule(name, rank, settings.alpha, scaling, 0, settings=settings)
