"""Writes the snippet that loads an adapter into vLLM, PEFT, llama.cpp or Ollama.

Pure functions. Names are untrusted and end up in a shell: a base model name that is not plain is
replaced by a placeholder, and everything else is quoted for its context.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final

from lora_tui.adapters.config import AdapterConfig
from lora_tui.errors import UsageError

PLACEHOLDER_DIRECTORY: Final = "/download/the/adapter/first"
"""Placeholder for the directory of an adapter that was not downloaded."""
PLACEHOLDER_BASE: Final = "NAME-OF-THE-BASE-MODEL"

# `org/name` as on model hubs: no option, no `..` and no shell syntax
_BASE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_REVISION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")
_VLLM_RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)
_USUAL_RANK: Final = 16
CAUSAL: Final = "AutoModelForCausalLM"
_CLASSES: Final = {
    "CAUSAL_LM": CAUSAL,
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "FEATURE_EXTRACTION": "AutoModel",
}
"""`task_type` → the class whose heads PEFT expects; peft/auto.py has the same table."""
_IMAGE_TASKS: Final = ("ForImageClassification", "ForObjectDetection", "ForSemanticSegmentation")
_UNMERGED_TYPES: Final = frozenset(
    (
        *("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "MULTITASK_PROMPT_TUNING", "CPT"),
        *("CARTRIDGE", "ADAPTION_PROMPT", "POLY", "XLORA", "SHADOW", "BEFT"),
    )
)
"""Prompts, and types that change more than weights: PEFT has no merge for them."""
_UNMERGED_VARIANTS: Final = frozenset(("aLoRA", "Arrow"))


@dataclass(frozen=True)
class AdapterContents:
    """What the files of an adapter hold beside its configuration."""

    modules: tuple[str, ...] = ()
    """Names of the modules with LoRA matrices, without the prefix of PEFT."""
    saved: tuple[str, ...] = ()
    """Names of all other tensors, without the prefix of PEFT."""
    labels: int | None = None
    """Rows of the saved classification head."""
    vocabulary: int | None = None
    """Rows of the saved or adapted embeddings."""
    tokenizer: bool = False
    """Whether the directory has a whole tokenizer."""
    processor: bool = False
    """Whether the directory has the configuration of a processor of images or sound."""
    base_class: str = ""
    """The class of transformers that the configuration names in place of a task; an identifier."""
    unprefixed: bool = False
    """Whether the names in the file lack the prefix of PEFT."""
    keyed: bool = False
    """Whether the names in the file have the name of an adapter, as in `lora_A.default.weight`."""
    alpha_with_point: bool = False
    """Whether `lora_alpha` is written with a decimal point, also as `16.0`."""


@dataclass(frozen=True)
class ServedAdapter:
    """The properties of an adapter that snippets use."""

    name: str
    """The name under which it is served: letters, digits and hyphens."""
    directory: PurePath | None
    """The directory of its files; None where they were not downloaded."""
    base_model: str
    """Untrusted name from the adapter or its job; may be empty."""
    rank: int | None = None
    """The largest rank of a module."""
    config: AdapterConfig | None = None
    """None where only the job's settings are known."""
    contents: AdapterContents = field(default_factory=AdapterContents)

    @property
    def directory_text(self) -> str:
        """The directory, or a placeholder."""
        return PLACEHOLDER_DIRECTORY if self.directory is None else str(self.directory)

    @property
    def base_name(self) -> str:
        """The base model if its name is plain, else a placeholder."""
        return self.base_model if _BASE.fullmatch(self.base_model) else PLACEHOLDER_BASE

    @property
    def gguf(self) -> str:
        """The file that llama.cpp's converter writes: in the working directory where the path has a
        comma, which separates files in `--lora`."""
        name = f"{self.name}.gguf"
        return name if "," in self.directory_text else f"{self.directory_text}/{name}"


def snippet(served: ServedAdapter, program: str) -> str:
    """The snippet for one of `PROGRAMS`: shell commands, Python or a Modelfile.

    Raises UsageError where the program can't load the adapter.
    """
    return _SNIPPETS[program](served)


def can_merge(config: AdapterConfig) -> bool:
    """Whether PEFT 0.21 merges such an adapter into its base model.

    tuners/lora/model.py and layer.py refuse replicated layers, and `lora_bias` where the base layer
    has no bias; variants.py refuses aLoRA and Arrow.
    """
    if config.format != "PEFT" or config.peft_type in _UNMERGED_TYPES:
        return False
    unmerged = config.lora_bias or bool(config.layer_replication)
    return not unmerged and _UNMERGED_VARIANTS.isdisjoint(config.variants)


def max_lora_rank(served: ServedAdapter) -> int | None:
    """The value of vLLM's `--max-lora-rank`: the next one that it takes; None above the largest."""
    needed = served.rank or _USUAL_RANK
    return next((rank for rank in _VLLM_RANKS if rank >= needed), None)


def _vllm(served: ServedAdapter) -> str:
    module = f"{served.name}={served.directory_text}"
    if "=" in served.directory_text or "," in served.directory_text:
        module = json.dumps({"name": served.name, "path": served.directory_text})
    rank = max_lora_rank(served)
    if rank is None:
        raise UsageError(
            f"vLLM supports adapters up to rank {_VLLM_RANKS[-1]}",
            details=f"this adapter has rank {served.rank}",
            remedy="merge it into its base model: see `--for peft`",
        )
    return (
        f"vllm serve {shell_word(served.base_name)} \\\n"
        f"  --enable-lora --max-lora-rank {rank} \\\n"
        f"  --lora-modules {shell_word(module)}\n"
    )


def _peft(served: ServedAdapter) -> str:
    config, contents = served.config, served.contents
    task = config.task_type if config is not None else ""
    model_class = _CLASSES.get(task) or contents.base_class or CAUSAL
    reader = _reader(served)
    options = ['dtype="auto"']
    if config is not None and _REVISION.fullmatch(config.revision):
        options.append(f"revision={config.revision!r}")
    if contents.labels is not None:
        # the head of the base model, of whatever size, is replaced by the saved one
        options += [f"num_labels={contents.labels}", "ignore_mismatched_sizes=True"]
    names = ", ".join(sorted({model_class, reader}))
    place = served.directory_text if _has_reader(served) else served.base_name
    lines = [
        "from peft import PeftModel",
        f"from transformers import {names}",
        "",
        f"base = {model_class}.from_pretrained({served.base_name!r}, {', '.join(options)})",
    ]
    if contents.vocabulary is not None:
        lines.append(
            f"base.resize_token_embeddings({contents.vocabulary}, mean_resizing=False)"
            "  # the rows of the adapter's embeddings"
        )
    lines.append(f"model = PeftModel.from_pretrained(base, {served.directory_text!r})")
    lines.append(f"{_READERS[reader]} = {reader}.from_pretrained({place!r})")
    if task == "SEQ_CLS" and reader == "AutoTokenizer":
        lines.append("base.config.pad_token_id = tokenizer.pad_token_id  # for more than one text")
    if config is None or can_merge(config):
        lines.append("# to serve it as a merged model: model.merge_and_unload().save_pretrained(…)")
    return "\n".join(lines) + "\n"


_READERS: Final = {
    "AutoTokenizer": "tokenizer",
    "AutoProcessor": "processor",
    "AutoImageProcessor": "processor",
}


def _reader(served: ServedAdapter) -> str:
    """The class that turns text, images or sound into inputs."""
    if served.contents.base_class.endswith(_IMAGE_TASKS):
        return "AutoImageProcessor"
    if served.contents.processor or (
        served.contents.base_class and not served.contents.base_class.endswith("ForCausalLM")
    ):
        return "AutoProcessor"
    return "AutoTokenizer"


def _has_reader(served: ServedAdapter) -> bool:
    """Whether the adapter's directory has what its reader needs."""
    contents, reader = served.contents, _reader(served)
    has_tokenizer = contents.tokenizer or reader == "AutoImageProcessor"
    return has_tokenizer and (contents.processor or reader == "AutoTokenizer")


def _llama_cpp(served: ServedAdapter) -> str:
    return (
        "# once, in a checkout of llama.cpp\n"
        f"python convert_lora_to_gguf.py --base-model-id {shell_word(served.base_name)} \\\n"
        f"  --outfile {shell_word(served.gguf)} {shell_word(served.directory_text)}\n"
        f"# {PLACEHOLDER_BASE}.gguf is a placeholder: the base model, converted or downloaded\n"
        f"llama-server -m {PLACEHOLDER_BASE}.gguf --lora {shell_word(served.gguf)}\n"
    )


def _ollama(served: ServedAdapter) -> str:
    place = served.directory_text
    if '"' in place or not is_plain(place):
        raise UsageError(
            "A Modelfile can't contain this path",
            details=repr(place),
            remedy="download it elsewhere: `lora-tui download MODEL --to DIR`",
        )
    return (
        f"# save as Modelfile, then: ollama create {served.name} -f Modelfile\n"
        f"# {PLACEHOLDER_BASE} is a placeholder: the name of {_or_unknown(served)} in Ollama,\n"
        "# or a directory with it. Ollama converts adapters of Llama, Mistral and Gemma 2;\n"
        "# for other models ADAPTER names the GGUF file that llama.cpp's converter writes\n"
        f"FROM {PLACEHOLDER_BASE}\n"
        f'ADAPTER "{place}"\n'
    )


def _or_unknown(served: ServedAdapter) -> str:
    return "the base model" if served.base_name == PLACEHOLDER_BASE else served.base_name


def is_plain(text: str) -> bool:
    """Whether a text has no control characters, and is valid UTF-8."""
    return not any(ord(sign) < 32 or 127 <= ord(sign) < 160 or _is_byte(sign) for sign in text)


def shell_word(text: str) -> str:
    """One word for a shell; control characters and bytes that are no UTF-8 as bash escapes them."""
    if is_plain(text):
        return shlex.quote(text)
    signs = (
        f"\\x{byte:02x}" if byte < 32 or byte > 126 or byte in b"'\\" else chr(byte)
        for byte in text.encode(errors="surrogateescape")
    )
    return f"$'{''.join(signs)}'"


def _is_byte(sign: str) -> bool:
    """Whether it stands for a byte of a file name that is not UTF-8."""
    return 0xD800 <= ord(sign) < 0xE000


_SNIPPETS: Final[Mapping[str, Callable[[ServedAdapter], str]]] = {
    "vllm": _vllm,
    "peft": _peft,
    "llama.cpp": _llama_cpp,
    "ollama": _ollama,
}

PROGRAMS: Final = tuple(_SNIPPETS)
"""The programs that `snippet` supports."""
