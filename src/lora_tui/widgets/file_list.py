"""Shows the files of a model: size, checksum, and the state of each download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from lora_tui import formats
from lora_tui.cache.transfer_queue import ACTIVE, STOPPED, Transfer, TransferState
from lora_tui.domain import ArtifactFile
from lora_tui.transfers.rate import RateMeter, seconds_left
from lora_tui.widgets.cells import fit, normalize_width, short_path, wrap
from lora_tui.widgets.styled_lines import Line, Span, StyledLines, line_styles
from lora_tui.widgets.transfer_line import progress_line, share, state_span, transfer_note

_STATE: Final = 12
_SIZE: Final = 10
_MAX_NAME: Final = 64
_CHECKSUM: Final = "  sha256 "


@dataclass(frozen=True)
class FilesState:
    """The files of a model with their transfers."""

    files: tuple[ArtifactFile, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    directory: Path | None = None
    """The directory of the downloaded model."""
    lost: str | None = None
    """What the bucket has lost of them, as a sentence without its end."""
    rates: Mapping[int, float] = field(default_factory=dict)
    """Bytes per second by transfer id."""


class FileList(StyledLines):
    """Shows the files; call `show` when the transfers have changed."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles(
        "heading", "value", "muted", "faint", "label", "done", "active", "waiting", "failed"
    )

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(ascii_only=ascii_only, id=id)
        self._state = FilesState()
        self._meter = RateMeter()

    def show(
        self,
        files: tuple[ArtifactFile, ...],
        transfers: Sequence[Transfer],
        directory: Path | None,
        *,
        lost: str | None = None,
    ) -> None:
        """Show these files."""
        self._meter.observe(transfers)
        rates = {
            transfer.id: rate
            for transfer in transfers
            if (rate := self._meter.rate(transfer)) is not None
        }
        before = self._state
        self._state = FilesState(files, tuple(transfers), directory, lost, rates)
        if before != self._state:
            self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """See `file_lines`."""
        return file_lines(self._state, width, ascii_only=self.ascii_only)


def file_lines(state: FilesState, width: int, *, ascii_only: bool = False) -> list[Line]:
    """A heading with the total, then for each file its line, checksum and progress or error."""
    transfers = {transfer.file: transfer for transfer in state.transfers}
    sizes = [_size(file, transfers.get(file.name)) for file in state.files]
    lines: list[Line] = [_heading(sizes, width)]
    if not state.files:
        return [*lines, [("This model has no files.", "faint")]]
    if state.lost:
        lines += [[(line, "failed")] for line in wrap(f"{state.lost}.", width)]
    name_width = max(8, min(_MAX_NAME, width - _SIZE - _STATE - 2))
    for file, size in zip(state.files, sizes, strict=True):
        transfer = transfers.get(file.name)
        lines.append(
            [
                (fit(file.label, name_width, ascii_only=ascii_only), "value"),
                (fit(formats.size(size), _SIZE, right=True, ascii_only=ascii_only), "muted"),
                ("  ", "muted"),
                *_state(file, transfer, ascii_only=ascii_only),
            ]
        )
        if file.sha256:
            digest = fit(file.sha256, width - len(_CHECKSUM), ascii_only=ascii_only).rstrip()
            lines.append([(_CHECKSUM, "faint"), (digest, "faint")])
        if transfer is not None:
            lines += _details(transfer, state.rates.get(transfer.id), width, ascii_only=ascii_only)
    return [*lines, *_footer(state, width, ascii_only=ascii_only)]


def _size(file: ArtifactFile, transfer: Transfer | None) -> int | None:
    """The size from the manifest, else the one that the bucket reported for the download."""
    return transfer.bytes_total if file.size is None and transfer is not None else file.size


def _heading(sizes: Sequence[int | None], width: int) -> Line:
    known = [size for size in sizes if size is not None]
    text = formats.counted(len(sizes), "file")
    if known and len(known) == len(sizes):
        text += f", {formats.size(sum(known))}"
    return [("Files", "heading"), (f"  {text}"[: max(0, width - 5)], "muted")]


def _state(file: ArtifactFile, transfer: Transfer | None, *, ascii_only: bool) -> list[Span]:
    if transfer is None:
        return [("- " if ascii_only else "· ", "faint"), ("remote", "faint")]
    known = None not in (file.sha256, transfer.sha256)
    if transfer.state is TransferState.DONE and known and file.sha256 != transfer.sha256:
        return [("- outdated" if ascii_only else "· outdated", "waiting")]
    return [state_span(transfer, ascii_only=ascii_only)]


def _details(transfer: Transfer, rate: float | None, width: int, *, ascii_only: bool) -> list[Line]:
    if transfer.state in (TransferState.RUNNING, TransferState.VERIFYING):
        return [
            progress_line(
                transfer.bytes_done,
                transfer.bytes_total,
                width,
                rate=rate if transfer.state is TransferState.RUNNING else None,
                left=seconds_left([transfer], rate),
                retries=transfer.attempts,
                ascii_only=ascii_only,
            )
        ]
    if transfer.state is TransferState.DONE and (note := transfer_note(transfer)):
        text = normalize_width(note, ascii_only=ascii_only)
        return [[("  " + line, "faint")] for line in wrap(text, width - 2)]
    if transfer.state in STOPPED and (note := transfer_note(transfer)):
        reason = normalize_width(note, ascii_only=ascii_only)
        return [[("  " + text, "failed")] for text in wrap(reason, width - 2)]
    return []


def _footer(state: FilesState, width: int, *, ascii_only: bool) -> list[Line]:
    """The total of a running download and the directory; empty without either."""
    lines: list[Line] = []
    active = [transfer for transfer in state.transfers if transfer.state in ACTIVE]
    directory = state.directory
    if active:
        wanted = [
            transfer
            for transfer in state.transfers
            if transfer.state in (*ACTIVE, TransferState.DONE)
        ]
        totals = [transfer.bytes_total for transfer in wanted]
        known = [total for total in totals if total is not None]
        rates = [state.rates[t.id] for t in active if t.id in state.rates]
        rate = sum(rates) if rates else None
        done = sum(transfer.bytes_done for transfer in wanted)
        total = sum(known) if len(known) == len(totals) else None
        left = seconds_left(wanted, rate)
        lines = [
            [("", "muted")],
            [(f"Total  {share(done, total)}".rstrip(), "active")],
            progress_line(done, total, width, rate=rate, left=left, ascii_only=ascii_only),
        ]
        directory = active[0].target.parent
    if directory is not None:
        word = "Into  " if active else "In  "
        lines.append([("", "muted")])
        path = normalize_width(short_path(directory), ascii_only=ascii_only)
        for number, text in enumerate(wrap(path, max(1, width - len(word)))):
            lines.append([(word if number == 0 else " " * len(word), "label"), (text, "value")])
    return lines
