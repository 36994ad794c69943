"""Finds the tests that use a private name of the program: one that begins with an underscore."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PRIVATE_PATH = re.compile(r"lora_tui(?:\.\w+)*\._[a-zA-Z]\w*")


OF_NAMED_TUPLES = {"_asdict", "_field_defaults", "_fields", "_make", "_replace"}
"""Public, although they begin with an underscore: fields of the class have the other names."""


def is_private(name: str) -> bool:
    """Whether a name begins with one underscore; `__init__` and the like are public."""
    return name.startswith("_") and not name.startswith("__") and name not in OF_NAMED_TUPLES


def private_names_in(path: Path) -> Iterator[tuple[int, str]]:
    """Line number and name of each private name of `lora_tui` that the file uses.

    Imports, attributes of what was imported (`module._name`, `Class._name`), and the texts that
    monkeypatch takes (`"lora_tui.module._name"`, or `module, "_name"`).
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lora_tui":
            for alias in node.names:
                imported.add(alias.asname or alias.name)
                full = f"{node.module}.{alias.name}"
                if any(is_private(part) for part in full.split(".")):
                    yield node.lineno, full
        elif isinstance(node, ast.Import):
            imported |= {
                alias.asname or "lora_tui"
                for alias in node.names
                if alias.name.split(".")[0] == "lora_tui"
            }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = ast.unparse(node.value)
            if owner.split(".")[0] in imported and "(" not in owner:
                yield node.lineno, f"{owner}.{node.attr}"
        elif isinstance(node, ast.Call):
            texts = [a for a in node.args if isinstance(a, ast.Constant)]
            owner = ast.unparse(node.args[0]) if node.args else ""
            for text in texts:
                if not isinstance(text.value, str):
                    continue
                if PRIVATE_PATH.fullmatch(text.value):
                    yield node.lineno, text.value
                elif is_private(text.value) and owner.split(".")[0] in imported:
                    yield node.lineno, f"{owner}.{text.value}"
