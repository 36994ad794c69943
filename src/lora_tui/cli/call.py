"""The call of the application without any word: what is known before a parser is needed.

Most starts are such a call. Loading argparse for it would delay the first frame.
"""

from __future__ import annotations

from types import SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

APPLICATION = "interactive:open_application"
"""The `module:function` in lora_tui.commands that opens the application."""

COMMON_DEFAULTS: Mapping[str, object] = {
    "profile": None,
    "config": None,
    "offline": False,
    "json": False,
    "verbose": 0,
    "no_color": False,
    "no_pager": False,
    "utc": False,
}
"""The options of every command, where they are not given."""


def application_call() -> SimpleNamespace:
    """What `parse` returns for no words."""
    return SimpleNamespace(**COMMON_DEFAULTS, command=None, run=APPLICATION)
