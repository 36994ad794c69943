"""Says of each adapter whether PEFT loads it on the plain Llama base, and what it then holds.

    python -m tests.real.peft_side.load_verdicts build/real ADAPTERS

Prints one JSON object, by the name of the directory: an `error`, or the number of `missing` tensors
and the scaling and ranks of the model.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

from peft import PeftModel, load_peft_weights, set_peft_model_state_dict

from tests.real.peft_side.bases import open_base, work_quietly_in
from tests.real.peft_side.truth import lora_modules, summary


def main(root: Path, adapters: Path) -> None:
    """Try every directory of `adapters`."""
    work_quietly_in(root)
    print(json.dumps({path.name: verdict(path) for path in sorted(adapters.iterdir())}))


def verdict(directory: Path) -> dict[str, Any]:
    """What PEFT does with one directory."""
    try:
        model = PeftModel.from_pretrained(open_base("llama"), str(directory))
        again = set_peft_model_state_dict(model, load_peft_weights(str(directory), device="cpu"))
    except Exception as error:  # that is what is asked
        return {"error": "".join(traceback.format_exception_only(error)).strip()[:300]}
    missing = [key for key in again.missing_keys if "lora_" in key]
    return {
        "error": None,
        "missing": len(missing),
        "unexpected": len(again.unexpected_keys),
        **summary(lora_modules(model)),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
