"""Says of each file whether the real safetensors opens it.

    python -m tests.real.peft_side.reader_verdicts FILES

Prints one JSON object: file name → null, or the reason of the refusal.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from safetensors import safe_open


def main(files: Path) -> None:
    """Try every file below `files`."""
    print(json.dumps({path.name: verdict(path) for path in sorted(files.iterdir())}))


def verdict(path: Path) -> str | None:
    """None where the file opens and every tensor can be named, else the reader's words."""
    try:
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 - the reader's object is no mapping
                file.get_slice(name).get_shape()
    except Exception as error:  # SafetensorError, and what Python's side of it raises
        return f"{type(error).__name__}: {error}"
    return None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
