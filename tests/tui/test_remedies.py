"""What to do about an error is said in keys of the application, not in options of a command."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import lora_tui
from lora_tui.errors import AuthenticationError, LoraTuiError, UnreachableError
from lora_tui.widgets.remedies import in_the_application
from tests.tui.conftest import Open
from tests.tui.library import Library

PACKAGE = Path(lora_tui.__file__).parent
ONLY_IN_A_SHELL = ("cli", "commands", "doctor", "push", "sandbox", "reports", "config", "locks")
"""Their errors are those of commands, or of a start that fails before there is a screen."""
NO_KEY = ("--to", "--force", "--file", "--offline`", "`lora-tui login`", "`lora-tui sync`")
FOR_A_SHELL = re.compile(r"`lora-tui (servers|load|unload|prove|try)\b[^`]*`")
"""Commands with options that only a shell has: a remedy may give one whole."""
REMEDY = ("remedy", "default_remedy", "instead")


def remedies() -> Iterator[tuple[str, str]]:
    """Each text that is given as a remedy where a screen may show it, with its place."""
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        if place.parts[0] in ONLY_IN_A_SHELL or place.name in ("terminal.py", "web.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            found: list[ast.expr] = []
            if isinstance(node, ast.keyword) and node.arg in REMEDY:
                found = [node.value]
            elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [target.id for target in targets if isinstance(target, ast.Name)]
                if any(name in REMEDY or name.isupper() for name in names):
                    found = [node.value]
            for value in found:
                for part in ast.walk(value):
                    if isinstance(part, ast.JoinedStr):
                        # what is filled in stands as {}
                        texts = [p.value if isinstance(p, ast.Constant) else "{}"
                                 for p in part.values]  # fmt: skip
                        yield f"{place}:{part.lineno}", "".join(map(str, texts))
                    elif (
                        isinstance(part, ast.Constant)
                        and isinstance(part.value, str)
                        and not _is_filled_in(value, part)
                    ):
                        yield f"{place}:{part.lineno}", part.value


def _is_filled_in(value: ast.expr, constant: ast.Constant) -> bool:
    """Whether it is a piece of a text with values in it, which is looked at as a whole."""
    texts = [part for part in ast.walk(value) if isinstance(part, ast.JoinedStr)]
    return any(constant in text.values for text in texts)


async def test_no_remedy_on_a_screen_names_an_option_or_a_command_that_is_a_key_here(
    library: Library, open_app: Open
) -> None:
    library.fill(count=1)
    app = open_app()
    checked = 0
    async with app.run_test():
        for place, remedy in remedies():
            shown = FOR_A_SHELL.sub("", in_the_application(app, remedy))
            checked += shown != remedy
            if not remedy.startswith("quit, ") and "pip" not in remedy:
                assert not [word for word in NO_KEY if word in shown], (place, shown)
                assert "same command" not in shown, (place, shown)
    assert checked > 10


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (AuthenticationError("The session has ended"), "→ press f2 to sign in"),
        (
            UnreachableError("No answer"),
            "→ check the network; the models in the cache stay available",
        ),
        (
            LoraTuiError("There", remedy="free some space, or choose another directory with --to"),
            "→ free some space, or choose another directory in the settings (,)",
        ),
        (
            LoraTuiError("There", remedy="quit, and run `lora-tui login` to change accounts"),
            "→ quit, and run `lora-tui login` to change accounts",
        ),
        (LoraTuiError("There"), ""),
    ],
)
async def test_the_key_is_the_one_that_the_user_has_given_the_action(
    library: Library, open_app: Open, error: LoraTuiError, shown: str
) -> None:
    library.fill(count=1)
    app = open_app(keys={"app.login": "f2"})
    async with app.run_test():
        assert app.remedy_of(error) == shown
