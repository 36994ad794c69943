"""Takes an adapter off this disk: the files that lora-tui put there, and nothing else."""

from __future__ import annotations

from pathlib import Path

from lora_tui.private_files import remove_abandoned
from lora_tui.transfers.part import discard_part, explained_disk
from lora_tui.transfers.record import MANIFEST, read_record, recorded_files


def remove(directory: Path) -> int:
    """Remove the recorded files, what unfinished downloads left, the record, and the directory
    where nothing else is in it; how many files those were.

    Raises DiskError, also where a file is being downloaded.
    """
    names = list(recorded_files(read_record(directory)))
    parts = [part.name.removesuffix(".part") for part in directory.glob("*.part")]
    count = 0
    with explained_disk(directory):
        for name in dict.fromkeys([*names, *parts]):
            discard_part(directory / name)
        for name in [*names, MANIFEST]:
            path = directory / name
            if path.is_symlink() or path.is_file():
                path.unlink()
                count += 1
        remove_abandoned(directory)
        if not directory.is_symlink() and not any(directory.iterdir()):
            directory.rmdir()
    return count
