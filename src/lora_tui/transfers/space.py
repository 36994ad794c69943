"""Whether what is to come fits on the disk: asked of all files together, and again of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lora_tui.cache.transfer_queue import Wanted
from lora_tui.errors import not_enough_space
from lora_tui.transfers.part import Part, part_of

_MARGIN: Final = 64 << 20
"""Bytes that stay free on the disk."""
_INSTEAD: Final = "choose another directory with --to"


def check_space_for_all(wanted: Sequence[Wanted], directory: Path) -> None:
    """Raises DiskError unless all that is still missing of the files fits on the disk."""
    missing = sum(max(0, (file.size or 0) - _here(file.target)) for file in wanted)
    place = next(path for path in (directory, *directory.parents) if path.is_dir())
    usage = os.statvfs(place)
    free = usage.f_bavail * usage.f_frsize
    if missing > free:
        raise not_enough_space(missing, free, place, margin=0, instead=_INSTEAD)


def _here(target: Path) -> int:
    """Bytes on the disk of this file, finished or not (a `.part` may have holes)."""
    for path in (target, part_of(target)):
        try:
            facts = path.stat(follow_symlinks=False)
        except OSError:
            continue
        return min(facts.st_size, facts.st_blocks * 512)
    return 0


def check_space(part: Part, needed: int) -> None:
    """Raises DiskError unless `needed` bytes, less those that `part` occupies, fit on its disk."""
    usage = os.fstatvfs(part.descriptor)
    free = usage.f_bavail * usage.f_frsize
    missing = needed - os.fstat(part.descriptor).st_size
    margin = min(_MARGIN, needed)
    if missing > 0 and missing + margin > free:
        raise not_enough_space(missing, free, part.path.parent, margin=margin, instead=_INSTEAD)
