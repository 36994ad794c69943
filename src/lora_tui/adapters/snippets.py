"""Writes the snippet that loads an adapter into vLLM, PEFT, llama.cpp or Ollama.

Pure functions. Names are untrusted and end up in a shell: a base model name that is not plain is
replaced by a placeholder, and everything else is quoted for its context.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from lora_tui.errors import UsageError

PLACEHOLDER_DIRECTORY: Final = "/download/the/adapter/first"
"""Placeholder for the directory of an adapter that was not downloaded."""
PLACEHOLDER_BASE: Final = "NAME-OF-THE-BASE-MODEL"

# `org/name` as on model hubs: no option, no `..` and no shell syntax
_BASE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_VLLM_RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)


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

    @property
    def directory_text(self) -> str:
        """The directory, or a placeholder."""
        return PLACEHOLDER_DIRECTORY if self.directory is None else str(self.directory)

    @property
    def base_name(self) -> str:
        """The base model if its name is plain, else a placeholder."""
        return self.base_model if _BASE.fullmatch(self.base_model) else PLACEHOLDER_BASE


def snippet(served: ServedAdapter, program: str) -> str:
    """The snippet for one of `PROGRAMS`: shell commands, Python or a Modelfile.

    Raises UsageError where the program can't load the adapter.
    """
    return _SNIPPETS[program](served)


def _vllm(served: ServedAdapter) -> str:
    module = f"{served.name}={served.directory_text}"
    if "=" in served.directory_text or "," in served.directory_text:
        module = json.dumps({"name": served.name, "path": served.directory_text})
    rank = next((rank for rank in _VLLM_RANKS if rank >= (served.rank or 16)), None)
    if rank is None:
        raise UsageError(
            f"vLLM supports adapters up to rank {_VLLM_RANKS[-1]}",
            details=f"this adapter has rank {served.rank}",
            remedy="merge it into its base model: see `--for peft`",
        )
    return (
        f"vllm serve {shlex.quote(served.base_name)} \\\n"
        f"  --enable-lora --max-lora-rank {rank} \\\n"
        f"  --lora-modules {shlex.quote(module)}\n"
    )


def _peft(served: ServedAdapter) -> str:
    return (
        "from peft import PeftModel\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "\n"
        f'base = AutoModelForCausalLM.from_pretrained({served.base_name!r}, dtype="auto")\n'
        f"model = PeftModel.from_pretrained(base, {served.directory_text!r})\n"
        f"tokenizer = AutoTokenizer.from_pretrained({served.base_name!r})\n"
        "# to serve it as a merged model: model.merge_and_unload().save_pretrained(…)\n"
    )


def _llama_cpp(served: ServedAdapter) -> str:
    adapter = f"{served.directory_text}/{served.name}.gguf"
    return (
        "# once, in a checkout of llama.cpp\n"
        f"python convert_lora_to_gguf.py --base-model-id {shlex.quote(served.base_name)} \\\n"
        f"  --outfile {shlex.quote(adapter)} {shlex.quote(served.directory_text)}\n"
        f"# {PLACEHOLDER_BASE}.gguf is the base model, converted or downloaded as GGUF\n"
        f"llama-server -m {PLACEHOLDER_BASE}.gguf --lora {shlex.quote(adapter)}\n"
    )


def _ollama(served: ServedAdapter) -> str:
    place = served.directory_text
    if '"' in place or any(ord(character) < 32 for character in place):
        raise UsageError(
            "A Modelfile can't contain this path",
            details=repr(place),
            remedy="download it elsewhere: `lora-tui download MODEL --to DIR`",
        )
    return (
        f"# save as Modelfile, then: ollama create {served.name} -f Modelfile\n"
        f"# FROM: the name of {served.base_name} in Ollama, or a directory with its weights\n"
        f"FROM {PLACEHOLDER_BASE}\n"
        f'ADAPTER "{place}"\n'
    )


_SNIPPETS: Final[Mapping[str, Callable[[ServedAdapter], str]]] = {
    "vllm": _vllm,
    "peft": _peft,
    "llama.cpp": _llama_cpp,
    "ollama": _ollama,
}

PROGRAMS: Final = tuple(_SNIPPETS)
"""The programs that `snippet` supports."""
