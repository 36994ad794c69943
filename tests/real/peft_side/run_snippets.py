"""Runs snippets for PEFT as a user would paste them, and compares the answers of their models.

    python -m tests.real.peft_side.run_snippets build/real SNIPPETS

SNIPPETS holds one `NAME.py` for each adapter. Prints one JSON object, by name: the class of the
base model, the largest `difference` of its answer, the size of the tokenizer, or an `error`.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tests.real.peft_side.bases import answer, work_quietly_in
from tests.real.peft_side.make_cases import CASES


def main(root: Path, snippets: Path) -> None:
    """Run each snippet in the directory where the base models' names are paths."""
    work_quietly_in(root)
    print(json.dumps({path.stem: ran(path) for path in sorted(snippets.glob("*.py"))}))


def ran(path: Path) -> dict[str, Any]:
    """What one snippet made."""
    names: dict[str, Any] = {"__name__": "__main__"}
    torch.manual_seed(23)
    try:
        exec(compile(path.read_text(), path.name, "exec"), names)
        model = names["model"]
        given = answer(model, CASES[path.stem].base)
    except Exception as error:  # whatever a pasted snippet may raise
        return {"error": "".join(traceback.format_exception_only(error)).strip()[:500]}
    expected = load_file(Path("answers", f"{path.stem}.safetensors"))["answer"]
    same_size = given.shape == expected.shape
    words = names.get("tokenizer")
    return {
        "base": type(model.get_base_model()).__name__,
        "difference": float((given - expected).abs().max()) if same_size else None,
        "tokenizer": None if words is None else len(words),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
