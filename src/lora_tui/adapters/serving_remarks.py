"""Says what a server would refuse of an adapter, or serve otherwise than PEFT does.

Pure functions. What vLLM 0.32 and llama.cpp's converter check is read off their sources and tried
on the servers themselves; Ollama's converter is read off its source. Nothing here is a guess about
the base model, whose files are not read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from lora_tui import formats
from lora_tui.adapters.config import AdapterConfig, module_settings
from lora_tui.adapters.patterns import Work
from lora_tui.adapters.snippets import CAUSAL, AdapterContents, ServedAdapter, can_merge

_MERGE: Final = "merge it into its base model with PEFT, as its snippet says, and serve that"
_USE_PEFT: Final = "use it with PEFT, which can't merge it into its base model"
_PLAIN_INITS: Final = ("true", "false", "gaussian", "eva", "orthogonal", "mica", "lora_ga")
"""Initialisations that leave the base model as it is; with all others (PiSSA, OLoRA, CorDA,
LoftQ …) PEFT changes its weights when it loads the adapter."""
_REFUSES: Final = " refuses "
_LOADS: Final = " only LoRA adapters of PEFT"
"""Words of a remark about an adapter that is refused as a whole."""
_HEADS: Final = ("classifier", "score")
_TASKS: Final = {
    "SEQ_2_SEQ_LM": "sequence-to-sequence models",
    "SEQ_CLS": "sequence classification",
    "TOKEN_CLS": "token classification",
    "QUESTION_ANS": "question answering",
    "FEATURE_EXTRACTION": "feature extraction",
}
_LISTED: Final = 3


def remarks(served: ServedAdapter, program: str) -> tuple[str, ...]:
    """Sentences: what one of `PROGRAMS` refuses of this adapter, or would serve wrongly."""
    config = served.config
    if config is None:
        return ()
    lines = list(_REMARKS[program](served, config))
    remedy = _remedy(config)
    first = next((number for number, line in enumerate(lines) if remedy in line), 0)
    # the same remedy is given once
    return tuple(
        line.replace(f": {remedy}.", ".") if number > first else line
        for number, line in enumerate(lines)
    )


def refusals(served: ServedAdapter, program: str) -> tuple[str, ...]:
    """Those of the remarks that say that the program refuses the adapter as a whole."""
    return tuple(line for line in remarks(served, program) if _REFUSES in line or _LOADS in line)


def _vllm(served: ServedAdapter, config: AdapterConfig) -> Iterator[str]:
    contents = served.contents
    if not config.is_lora or config.format != "PEFT":
        yield _no_lora("vLLM loads", config)
        return
    refused = [
        *config.variants,
        *_if(config.lora_bias, "lora_bias"),
        *_if(config.bias != "none", f"trained biases (bias {config.bias})"),
        *_if(bool(config.layer_replication), "layer_replication"),
        *(f"the saved {name}" for name in config.modules_to_save if name not in _HEADS),
        *_saved(config, contents, (*config.modules_to_save, *_HEADS)),
    ]
    if refused:
        yield f"vLLM refuses {_listed(refused)}: {_remedy(config)}."
    if config.init_lora_weights.lower() not in _PLAIN_INITS:
        yield (
            f"vLLM refuses init_lora_weights {config.init_lora_weights}, which changes the base"
            " model: save the adapter with path_initial_model_for_weight_conversion, or"
            f" {_remedy(config)}."
        )
    if contents.keyed:
        yield "vLLM refuses names such as lora_A.default.weight: save it with save_pretrained."
    silent = [
        name
        for name in contents.modules
        if name.startswith(("transformer.", "language_model.")) or ".h." in f".{name}"
    ]
    if silent:
        yield (
            "vLLM may load modules without any effect, and without an error, whose names are not"
            f" those of its own model, such as {silent[0]}: compare an answer with the base model."
        )
    if served.rank is None:
        yield "The rank is not known: 16 after --max-lora-rank is a placeholder."
    yield from _other_task("vLLM", served, "one with a head is served with --runner pooling")


def _llama_cpp(served: ServedAdapter, config: AdapterConfig) -> Iterator[str]:
    contents = served.contents
    yield from _converted("convert_lora_to_gguf.py", "llama.cpp", config, contents)
    if any(name.rpartition(".")[2] == "lm_head" for name in contents.modules):
        yield (
            "convert_lora_to_gguf.py refuses matrices of lm_head where the base model shares its"
            " embeddings with it."
        )
    if "," in served.directory_text:
        yield (
            "A comma separates files in --lora, so the GGUF file is written to the working"
            " directory, not beside the adapter."
        )
    yield from _other_task("llama.cpp", served, "its server generates text, or embeds it")


def _ollama(served: ServedAdapter, config: AdapterConfig) -> Iterator[str]:
    contents = served.contents
    yield from _converted("Ollama", "Ollama", config, contents)
    alpha = config.alpha
    if alpha is not None and (contents.alpha_with_point or alpha < 0):
        yield (
            f"Ollama reads lora_alpha only as a whole number without sign and point, and this is"
            f" {formats.number(alpha)}: write it so in a copy, or convert it for llama.cpp."
        )
    yield from _other_task("Ollama", served, "it generates text, or embeds it")


def _peft(served: ServedAdapter, config: AdapterConfig) -> Iterator[str]:
    contents = served.contents
    if config.format != "PEFT":
        yield f"PEFT does not load it: it is an adapter of {config.format}."
        return
    for fault in config.faults:
        yield f"PEFT refuses it: {fault}."
    if contents.unprefixed or contents.keyed:
        yield (
            "PEFT loads nothing of it, with no more than a warning: the names in the file "
            + ("have the name of an adapter." if contents.keyed else "lack base_model.model.")
        )
    if not config.task_type and not contents.base_class:
        yield f"The configuration names no task: {CAUSAL} is an assumption."
    if config.task_type in ("SEQ_CLS", "TOKEN_CLS") and contents.labels is None:
        yield "The adapter has no head of its own: that of the base model is used."


def _converted(
    converter: str, server: str, config: AdapterConfig, contents: AdapterContents
) -> Iterator[str]:
    """What holds for every server that turns the adapter into a GGUF file."""
    if not config.is_lora or config.format != "PEFT":
        yield _no_lora(f"{converter} takes", config)
        return
    saved = {part for name in contents.saved for part in name.split(".")}
    refused = [
        *(variant for variant in config.variants if variant != "aLoRA"),
        *_if(config.lora_bias, "lora_bias"),
        *_if(config.bias != "none", f"trained biases (bias {config.bias})"),
        *_if(bool(config.layer_replication), "layer_replication"),
        *_if(bool(config.target_parameters), "matrices of target_parameters"),
        *(f"the saved {name}" for name in config.modules_to_save if name in saved),
        *_saved(config, contents, config.modules_to_save),
    ]
    if refused:
        yield f"{converter} refuses {_listed(refused)}: {_remedy(config)}."
    if config.init_lora_weights.lower() not in _PLAIN_INITS:
        yield (
            f"{server} would answer wrongly: init_lora_weights {config.init_lora_weights} changes"
            f" the base model, which {server} loads unchanged: {_remedy(config)}."
        )
    yield from _scale(server, config, contents)


def _scale(server: str, config: AdapterConfig, contents: AdapterContents) -> Iterator[str]:
    """A GGUF file holds one alpha, which the server divides by the rank of each module."""
    work, factors = Work(), set[float]()
    example: tuple[str, float, float] | None = None
    for name in contents.modules:
        settings = module_settings(config, name, work)
        if config.alpha is None or not settings.rank or settings.scaling is None:
            continue
        theirs = config.alpha / settings.rank
        if not theirs:
            continue
        factors.add(round(settings.scaling / theirs, 9))
        if example is None and not math.isclose(settings.scaling, theirs):
            example = (name, theirs, settings.scaling)
    if example is None or config.alpha is None:
        return
    name, (given, meant) = example[0], map(formats.number, example[1:])
    why = "rsLoRA" if config.rslora else "alpha_pattern"
    remedy = _remedy(config)
    if len(factors) == 1:
        alpha = config.alpha * next(iter(factors))
        remedy = f"convert a copy of the directory whose lora_alpha is {formats.number(alpha)}"
        if server == "Ollama" and not alpha.is_integer():
            remedy += ", with llama.cpp's converter, because Ollama reads whole numbers only"
    yield (
        f"{server} would scale {name} by {given} in place of {meant}, because it does not know"
        f" {why}: {remedy}."
    )


def _saved(config: AdapterConfig, contents: AdapterContents, known: Iterable[str]) -> list[str]:
    """The tensors beside LoRA matrices that no other remark is about.

    The base model's own embeddings, which PEFT saves with matrices for them, do no harm; `known`
    are names of modules whose tensors are left out too.
    """
    skipped, found = {"base_layer", *known}, set[str]()
    for name in contents.saved:
        parts = name.split(".")
        if not skipped.isdisjoint(parts) or "lora_magnitude_vector" in name:
            continue
        if parts[-1] == "bias" and (config.bias != "none" or config.lora_bias):
            continue
        tokens = "trainable_tokens" in name or "token_adapter" in name
        found.add("trained tokens" if tokens else f"the tensor {name}")
    return sorted(found)


def _other_task(server: str, served: ServedAdapter, what: str) -> Iterator[str]:
    task = _TASKS.get(served.config.task_type) if served.config is not None else None
    base = served.contents.base_class
    if task is None and base and not base.endswith("ForCausalLM"):
        task = base
    if task is not None:
        yield f"This adapter is for {task}: {server} may refuse its base model ({what})."


def _no_lora(who: str, config: AdapterConfig) -> str:
    if config.format != "PEFT":
        return f"{who} only LoRA adapters of PEFT, and this is one of {config.format}."
    kind = config.kind.title if config.kind is not None else config.peft_type or "of no type"
    return f"{who} only LoRA adapters of PEFT, and this is {kind}: {_remedy(config)}."


def _remedy(config: AdapterConfig) -> str:
    return _MERGE if can_merge(config) else _USE_PEFT


def _if(condition: bool, what: str) -> Iterable[str]:
    return (what,) if condition else ()


def _listed(names: Iterable[str]) -> str:
    given = list(names)
    more = len(given) - _LISTED
    return ", ".join(given[:_LISTED]) + (f" and {formats.count(more)} more" if more > 0 else "")


_REMARKS: Final[Mapping[str, Callable[[ServedAdapter, AdapterConfig], Iterator[str]]]] = {
    "vllm": _vllm,
    "peft": _peft,
    "llama.cpp": _llama_cpp,
    "ollama": _ollama,
}
