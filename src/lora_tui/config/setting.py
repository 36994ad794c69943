"""What a row of the table of settings says, and how its value is found (table.py has the rows)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lora_tui.config.kinds import Kind
from lora_tui.config.text_file import read_text_file, unreadable
from lora_tui.secret import Secret

PROFILES, UI = "profiles", "ui"
"""Tables of the configuration file; a profile's own is [profiles.NAME]."""


class Setting:
    """What a row says beside its name, type and default."""

    def __init__(
        self,
        kind: Kind,
        help: str,
        *,
        variable: str = "",
        key: str = "",
        secret: bool = False,
        masked: bool = False,
        label: str = "",
        hint: str = "",
        unset: str = "",
        at_once: bool = False,
        flag: str = "",
    ) -> None:
        """`help` completes "KEY: …" in docs/configuration.md.

        `variable`: the environment variable; NAME_FILE names a file that holds the value. `key`:
        the name in the file, where the field has another. `secret`: the value is a Secret, and
        the file becomes private. `masked`: not printed, like a secret. `label`, `hint`: shown on
        the Settings screen, which has only rows with a label. `unset`: what no value means.
        `at_once`: a change on that screen needs no restart. `flag`: the command-line option.
        """
        self.kind, self.help, self.variable, self.key = kind, help, variable, key
        self.secret, self.masked = secret, masked or secret
        self.label, self.hint, self.unset = label, hint, unset
        self.at_once, self.flag = at_once, flag
        self.table = self.field = ""
        self.default: Any = None

    def value(self, table: Mapping[str, Any], place: str, environment: Mapping[str, str]) -> Any:
        """The value in force; None where it is not set. Raises ConfigError.

        `table` is the table of the file that holds the key, `place` its name for messages.
        """
        return self.value_and_source(table, place, environment)[0]

    def value_and_source(
        self, table: Mapping[str, Any], place: str, environment: Mapping[str, str]
    ) -> tuple[Any, str]:
        """Like `value`, and where it is set, in words for messages; empty where it is not."""
        text, name = self.text_in(environment)
        source = self._source(name, environment)
        value = self.kind.from_text(text, source) if text else None
        written = table.get(self.key)
        if value is None and written is not None and not _is_blank(written):
            source = f"{self.key} of {place}"
            value = self.kind.from_file(written, source)
        return Secret(value) if self.secret and value is not None else value, source

    def from_environment(self, environment: Mapping[str, str]) -> Any:
        """The value that the environment sets; None where it sets none. Raises ConfigError."""
        text, name = self.text_in(environment)
        return self.kind.from_text(text, self._source(name, environment)) if text else None

    def _source(self, name: str, environment: Mapping[str, str]) -> str:
        """The variable `name` in words; with the file that it names."""
        return f"{name} ({environment[name]})" if name.endswith("_FILE") else name

    def text_in(self, environment: Mapping[str, str]) -> tuple[str, str]:
        """The text in the variable, or in the file that NAME_FILE names, and that variable's name.

        Both are empty where neither is set. Raises ConfigError.
        """
        if not self.variable:
            return "", ""
        text = environment.get(self.variable, "").strip()
        if text or not self.table:
            return text, self.variable if text else ""
        name = f"{self.variable}_FILE"
        text = _read_value(environment[name], name).strip() if environment.get(name) else ""
        return text, name if text else ""


def _is_blank(written: object) -> bool:
    return isinstance(written, str) and not written.strip()


def _read_value(path: str, what: str) -> str:
    try:
        return read_text_file(path, what)
    except FileNotFoundError as error:
        raise unreadable(error, what, path) from None
