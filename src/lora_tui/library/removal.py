"""Takes an adapter off this disk: the files that lora-tui put there, and nothing else."""

from __future__ import annotations

from pathlib import Path

from lora_tui.files import remove_abandoned_files
from lora_tui.library.shelf import begun_downloads, check_record
from lora_tui.transfers.part import discard_part, explained_disk
from lora_tui.transfers.record import MANIFEST, expected_files, read_record, recorded_files


def remove(directory: Path) -> int:
    """Remove the recorded files, what unfinished downloads left, the record, and the directory
    where nothing else is in it; how many files those were.

    Raises DiskError, also where a file is being downloaded.
    """
    with explained_disk(directory / MANIFEST):
        check_record(directory)
    record = read_record(directory)
    names = list(recorded_files(record))
    count = 0
    with explained_disk(directory):
        begun = begun_downloads(directory)
        for name in dict.fromkeys([*names, *expected_files(record), *begun]):
            discard_part(directory / name)
        for name in [*names, MANIFEST]:
            path = directory / name
            if path.is_symlink() or path.is_file():
                path.unlink()
                count += 1
        remove_abandoned_files(directory)
        if not directory.is_symlink() and not any(directory.iterdir()):
            directory.rmdir()
    return count
