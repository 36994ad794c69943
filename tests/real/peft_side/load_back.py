"""Loads what came back from a project in PEFT, and compares it with what was sent.

    python -m tests.real.peft_side.load_back build/real DOWNLOADS

DOWNLOADS holds one directory for each adapter, by name. Prints one JSON object, by name: `tensors`
compared, the names of `different` ones, the largest `difference` of the model's answer, or an
`error`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict
from safetensors.torch import load_file

from tests.real.peft_side.bases import answer, work_quietly_in
from tests.real.peft_side.make_cases import CASES, load_adapter


def main(root: Path, downloads: Path) -> None:
    """Compare each directory of `downloads` with the adapter of its name."""
    work_quietly_in(root)
    found = {path.name: compared(path) for path in sorted(downloads.iterdir())}
    print(json.dumps(found))


def compared(directory: Path) -> dict[str, Any]:
    """The differences of one adapter."""
    name = directory.name
    case = CASES[name]
    sent = load_file(Path("adapters", name, "adapter_model.safetensors"))
    back = load_file(directory / "adapter_model.safetensors")
    different = sorted({*sent} ^ {*back})
    different += [key for key in sent.keys() & back.keys() if not _same(sent[key], back[key])]
    try:
        model = load_adapter(case, directory)
    except Exception as error:  # the test says for which adapters PEFT refuses its own files
        return {"tensors": len(back), "different": different, "error": str(error)[:500]}
    held = get_peft_model_state_dict(model)
    different += [f"in the model: {key}" for key in sorted(held.keys() & sent.keys())
                  if not _close(held[key], sent[key])]  # fmt: skip
    stored = Path("answers", f"{name}.safetensors")
    if not stored.exists():
        return {"tensors": len(back), "different": different, "difference": 0.0}
    expected = load_file(stored)["answer"]
    difference = (answer(model, case.base) - expected).abs().max()
    return {"tensors": len(back), "different": different, "difference": float(difference)}


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Bit for bit, NaN included."""
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and torch.equal(_bytes(one), _bytes(other))
    )


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _close(held: torch.Tensor, sent: torch.Tensor) -> bool:
    return held.shape == sent.shape and bool(
        torch.equal(held.float().nan_to_num(), sent.float().nan_to_num())
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
