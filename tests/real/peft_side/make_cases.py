"""Makes every case with real PEFT below a directory, and writes what PEFT says to `truth.json`.

    python -m tests.real.peft_side.make_cases build/real

Takes about a minute on two cores. The directory gets `tiny/` (the bases), `adapters/`, `foreign/`,
`runs/`, `answers/` (what each model returns for a fixed input) and `truth.json`.
"""

from __future__ import annotations

import json
import shutil
import sys
import traceback
import zlib
from pathlib import Path
from typing import Any, Final

import peft
import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file, save_file

from tests.real.peft_side.bases import answer, make_bases, tokenizer, work_quietly_in
from tests.real.peft_side.lora_cases import HEAD_CASES, LORA_CASES, Case
from tests.real.peft_side.other_cases import METHODS, write_foreign_files
from tests.real.peft_side.truth import described, lora_modules, parameter_counts, summary
from tests.real.peft_side.wrapping import base_of, wrapped

CASES: Final = {**LORA_CASES, **HEAD_CASES, **METHODS}


def main(root: Path) -> None:
    """Make all cases anew in `root`."""
    from tests.real.peft_side.trainer_runs import make_runs

    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    work_quietly_in(root)
    make_bases()
    for directory in ("adapters", "answers", "runs"):
        Path(directory).mkdir()
    truth: dict[str, Any] = {
        "versions": {m.__name__: m.__version__ for m in (torch, transformers, peft)},
        "adapters": {},
        "not_made": {},
    }
    for name, case in CASES.items():
        try:
            truth["adapters"][name] = make_adapter(name, case)
        except Exception as error:  # PEFT refuses in many ways; the tests say which are expected
            shutil.rmtree(Path("adapters", name), ignore_errors=True)
            truth["not_made"][name] = "".join(traceback.format_exception_only(error)).strip()
    write_foreign_files(Path("foreign"))
    truth["runs"] = make_runs(Path("runs"))
    Path("truth.json").write_text(json.dumps(truth, indent=1))
    print(f"{len(truth['adapters'])} adapters, {len(truth['runs'])} runs in {root}")
    for name, reason in truth["not_made"].items():
        print(f"PEFT did not make {name}: {reason[:300]}")


def make_adapter(name: str, case: Case) -> dict[str, Any]:
    """Save the adapter of the case, load it again as PEFT does, and return what PEFT says of it."""
    directory = Path("adapters", name)
    model = wrapped(case, zlib.crc32(name.encode()))
    if case.data_driven and case.settings["init_lora_weights"] in ("corda", "lora_ga"):
        # loading initializes anew, from data that are gone: PEFT's way out is to declare it plain
        model.peft_config["default"].init_lora_weights = True
    model.save_pretrained(directory)
    if case.with_tokenizer:
        words = tokenizer()
        words.add_tokens([f"<new{number}>" for number in range(case.extra_tokens)])
        words.save_pretrained(directory)
    if case.dtype:
        _convert(directory / "adapter_model.safetensors", getattr(torch, case.dtype))
    modules = lora_modules(model)
    found = {
        "base": case.base,
        "auto_class": case.auto_class,
        **described(directory),
        **parameter_counts(model, directory),
        **(summary(modules) if case.settings.get("peft_type", "LORA") == "LORA" else {}),
    }
    try:
        loaded = load_adapter(case, directory)
    except Exception as error:
        return {**found, "loads": False, "error": str(error)[:500]}
    if case.settings.get("peft_type", "LORA") == "LORA":
        found["details"] = lora_modules(loaded)
        found |= summary(found["details"])
    try:
        given = answer(loaded, case.base)
    except Exception as error:  # a method that this transformers no longer runs
        return {**found, "loads": True, "answers": False, "error": str(error)[:500]}
    save_file({"answer": given}, Path("answers", f"{name}.safetensors"))
    plain = answer(base_of(case), case.base)
    found["effect"] = float((given - plain).abs().max()) if given.shape == plain.shape else None
    found["same_as_trained"] = bool(torch.allclose(answer(model, case.base), given, atol=1e-4))
    return {**found, "loads": True, "answers": True}


def load_adapter(case: Case, directory: Path) -> PeftModel:
    """What PEFT makes of the files, on a fresh base."""
    base = base_of(case)
    torch.manual_seed(23)
    return PeftModel.from_pretrained(base, str(directory))


def _convert(file: Path, dtype: torch.dtype) -> None:
    save_file({name: value.to(dtype) for name, value in load_file(file).items()}, file,
              metadata={"format": "pt"})  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
