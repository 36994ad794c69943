"""Shows where a model is loaded and what was proved there, on the page of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from lora_tui import clock
from lora_tui.cache.served import Served
from lora_tui.domain.servers import Verdict
from lora_tui.reports.proof_text import served_lines
from lora_tui.widgets.cells import normalize_width, wrap
from lora_tui.widgets.styled_lines import Line, StyledLines, line_styles

_INDENT = 2


class ServedPanel(StyledLines):
    """A line for each server, with what was proved; hidden where nothing is known."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles(
        "heading", "label", "value", "done", "overfit", "active"
    )

    _served: Served = Served()
    _proving: Mapping[str, str] = {}

    def show(self, served: Served, proving: Mapping[str, str]) -> None:
        """Show it. `proving`: server → how far a proof is that goes on there."""
        if (served, proving) == (self._served, self._proving):
            return
        self._served, self._proving = served, proving
        self.display = bool(served.loaded or served.proofs or proving)
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """See `panel_lines`."""
        return panel_lines(self._served, self._proving, width, ascii_only=self.ascii_only)


def panel_lines(
    served: Served, proving: Mapping[str, str], width: int, *, ascii_only: bool = False
) -> list[Line]:
    """A heading; for each server its name, below it what is known, then proofs that go on."""
    lines: list[Line] = [[("On servers", "heading")]]
    good = {
        proof.server
        for proof in served.proofs
        if proof.verdict == Verdict.EFFECT and not proof.warning
    }
    style = "value"
    for server, text in served_lines(served.loaded, served.proofs, clock.now()):
        if server:
            style = "done" if server in good else "overfit" if _doubted(served, server) else "value"
            lines += _wrapped(server, "label", width, 0, ascii_only)
        lines += _wrapped(text, style, width, _INDENT, ascii_only)
    for server, text in proving.items():
        lines += _wrapped(f"{server}: {text}", "active", width, 0, ascii_only)
    return lines


def _doubted(served: Served, server: str) -> bool:
    return any(proof.server == server for proof in served.proofs)


def _wrapped(text: str, style: str, width: int, indent: int, ascii_only: bool) -> list[Line]:
    shown = normalize_width(text, ascii_only=ascii_only)
    blank = " " * indent
    return [[(blank + part, style)] for part in wrap(shown, max(1, width - indent))]
