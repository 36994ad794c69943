"""What others put beside downloads: links, pipes, files of another model; and what is outside."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

_RECORD: Final = "lora-tui.json"
_WEIGHTS: Final = "adapter_model.safetensors"
_BESIDE: Final = ("", ".part", ".part.json")


class Outside:
    """Directories that no process has any business in: the user's home, and targets of links."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home, self.temporary = directory / "home", directory / "tmp"
        self.file, self.folder = directory / "somebody's file", directory / "somebody's folder"
        for folder in (self.home, self.temporary, self.folder):
            folder.mkdir(parents=True)
        self.file.write_text("nobody may write here")
        self._before = self._seen()

    def changed(self) -> list[str]:
        """What differs from the last look."""
        before, self._before = self._before, self._seen()
        return sorted({name for name, _ in before.items() ^ self._before.items()})

    def _seen(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.directory)): (
                hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
            )
            for path in self.directory.rglob("*")
        }


class Plants:
    """Each is taken away again; what was in its place comes back, unless somebody replaced it."""

    def __init__(self, home: Path, outside: Outside) -> None:
        self._home = home
        self._outside = outside
        self._aside = home / "aside"
        self._there: list[tuple[Path, tuple[int, int], Path | None]] = []

    def plant(self, kind: str, seed: int) -> None:
        """Put a link, a pipe or another model's file in the place of a file of a download."""
        chance = random.Random(seed)
        directories = [path.parent for path in sorted(self._home.glob(f"*/*/{_RECORD}"))]
        directory = chance.choice(directories) if directories else self._home / "shared"
        directory.mkdir(exist_ok=True)
        names = sorted(
            path.name
            for path in directory.iterdir()
            if path.is_file() and not path.is_symlink() and ".part" not in path.name
        )
        name = chance.choice([_WEIGHTS, *names])
        others = [
            path
            for path in sorted(self._home.glob(f"downloads/*/{_WEIGHTS}"))
            if path.parent != directory and path.is_file() and not path.is_symlink()
        ]
        if kind == "other model":
            place = directory / _WEIGHTS
        else:
            place = directory / (name if name == _RECORD else name + chance.choice(_BESIDE))
        saved = None
        if place.is_symlink() or place.exists():
            self._aside.mkdir(exist_ok=True)
            saved = self._aside / f"{len(self._there)}-{place.name}"
            place.rename(saved)
        if kind == "other model":
            if others:
                shutil.copyfile(chance.choice(others), place)
            else:
                place.write_bytes(b"weights of another model")
        elif kind == "pipe":
            os.mkfifo(place)
        else:
            place.symlink_to(
                chance.choice(
                    (self._outside.file, self._outside.folder, self._outside.folder / "new")
                )
            )
        self._there.append((place, _identity(place), saved))

    @property
    def places(self) -> frozenset[Path]:
        """Where something planted still lies."""
        return frozenset(place for place, identity, _ in self._there if _is(place, identity))

    def clear(self) -> None:
        """Take all of them away."""
        for place, identity, saved in self._there:
            if _is(place, identity):
                place.unlink()
            if saved is not None and place.parent.is_dir() and not os.path.lexists(place):
                saved.rename(place)
        self._there.clear()
        shutil.rmtree(self._aside, ignore_errors=True)


def plain_files(directory: Path) -> list[Path]:
    """Every ordinary file below it; links are not followed."""
    found = []
    for path in sorted(directory.rglob("*")):
        with suppress(FileNotFoundError):
            if stat.S_ISREG(path.lstat().st_mode):
                found.append(path)
    return found


def _identity(place: Path) -> tuple[int, int]:
    status = place.lstat()
    return status.st_dev, status.st_ino


def _is(place: Path, identity: tuple[int, int]) -> bool:
    return os.path.lexists(place) and _identity(place) == identity
