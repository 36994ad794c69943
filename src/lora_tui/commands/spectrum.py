"""The command `spectrum`: prints what the weights of an adapter on this disk say."""

from __future__ import annotations

import shutil
from typing import Any, Final

from lora_tui.adapters import weight_text
from lora_tui.adapters.inspection import find_weights
from lora_tui.adapters.weight_facts import (
    NO_LAYER,
    ModuleWeights,
    WeightFacts,
    layers_of,
    outliers_of,
    summarise,
)
from lora_tui.commands.context import Context
from lora_tui.commands.inspect import downloaded_directory, not_downloaded
from lora_tui.commands.prose import label_lines
from lora_tui.commands.style import width_of
from lora_tui.config.kinds import expanded
from lora_tui.errors import ExitCode, NotFoundError
from lora_tui.text import cell_width, fit, terminal_safe

_PIPE_WIDTH: Final = 80
_LONGEST_LABEL: Final = 30
_FIGURES_WIDTH: Final = 24
_HEADING: Final = (*weight_text.LAYER_HEADING, "")


def spectrum(context: Context) -> ExitCode:
    """Print health, norms and effective ranks, a line a layer; with --json, of every module.

    A local file or directory takes precedence over a model of the same name. Returns INTEGRITY
    where a value is NaN or infinite.
    """
    target = context.arguments.target
    path = expanded(target, "The path")
    if not path.exists() and not path.is_symlink():
        if "/" in target or target.endswith(".safetensors"):
            raise NotFoundError(
                "There is no such file",
                details=str(path),
                remedy="check the path, or name a model of `lora-tui list`",
            )
        directory = downloaded_directory(context, target)
        if directory is None:
            raise not_downloaded(target)
        path = directory
    weights, config = find_weights(path)
    from lora_tui.adapters.weights import measure_file  # late: loads numpy

    facts = measure_file(weights, config)
    remarks = weight_text.remarks(facts)
    if context.json:
        context.print_data(_as_json(str(weights), facts, remarks))
    else:
        _print_text(context, str(weights), facts)
    for remark in remarks:
        context.say(f"lora-tui: {remark}")
    return ExitCode.INTEGRITY if facts.damaged_count else ExitCode.OK


def _print_text(context: Context, file: str, facts: WeightFacts) -> None:
    summary = summarise(facts)
    lines = [
        ("File", terminal_safe(file, limit=500)),
        ("Weights", weight_text.verdict(summary)),
        ("Tensors", weight_text.tensors_text(facts)),
        *weight_text.figures(summary),
    ]
    for label, value in lines:
        parts = label_lines(label, value, width_of(context))
        context.out.writelines(f"{part}\n" for part in parts)
    if not facts.modules:
        return
    width = shutil.get_terminal_size().columns if context.out.isatty() else _PIPE_WIDTH
    labels = max(cell_width(row[0]) for row in weight_text.layer_rows(facts, 1))
    labels = min(_LONGEST_LABEL, max(labels, cell_width(_HEADING[0])))
    rows = weight_text.layer_rows(facts, max(1, width - labels - _FIGURES_WIDTH))
    context.out.write("\n")
    for label, norm, rank, bar in [_HEADING, *rows]:
        context.out.write(f"{fit(label, labels)}  {norm:>9}  {rank:>9}  {bar}".rstrip() + "\n")


def _as_json(file: str, facts: WeightFacts, remarks: list[str]) -> dict[str, Any]:
    outliers = {outlier.module.name: outlier for outlier in outliers_of(facts.modules)}
    return {
        "file": file,
        "verdict": weight_text.verdict(summarise(facts)),
        "tensors": facts.tensors,
        "other_tensors": facts.other_tensors,
        "damaged_tensors": facts.damaged_count,
        "damaged": [
            {"name": tensor.name, "nan": tensor.nan, "infinite": tensor.infinite}
            for tensor in facts.damaged
        ],
        "no_effect": facts.has_no_effect,
        "scaled": facts.scaled,
        "layers": [
            {
                "stack": layer.stack,
                "layer": None if layer.number == NO_LAYER else layer.number,
                "norm": layer.norm,
                "effective_rank": layer.effective_rank,
                "modules": layer.modules,
                "damaged": layer.damaged,
            }
            for layer in layers_of(facts.modules)
        ],
        "modules": [
            {
                **_module(module),
                "outlier": None
                if (outlier := outliers.get(module.name)) is None
                else {"usual_norm": outlier.usual, "score": outlier.score},
            }
            for module in facts.modules
        ],
        "remarks": remarks,
    }


def _module(module: ModuleWeights) -> dict[str, Any]:
    return {
        "name": module.name,
        "rank": module.rank,
        "scaling": module.scaling,
        "norm": module.norm,
        "largest_singular_value": module.largest,
        "stable_rank": module.stable_rank,
        "effective_rank": module.effective_rank,
        "energy": {str(count): share for count, share in module.energy_by_directions.items()},
        "experts": module.experts,
        "no_effect": module.is_dead,
        "damaged": module.damaged,
        "problem": module.problem,
    }
