"""The objects behind Storage and the worker's presigned URLs: rows in SQLite, bytes in files."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from lora_tui.clock import parse_timestamp
from lora_tui.sandbox.adapter_files import recipe_pieces, recipe_size
from lora_tui.sandbox.database import Database

BUCKET: Final = "lora-models"
BUCKET_LIMIT: Final = 5 * 1024**3
BUCKET_TYPES: Final = ("application/octet-stream", "application/x-tar", "application/json")
WORKER_BUCKET: Final = "worker-files"

COLUMNS: Final = (
    "bucket",
    "name",
    "id",
    "owner",
    "size",
    "content_type",
    "etag",
    "recipe",
    "created_at",
    "updated_at",
)


class ObjectExistsError(Exception):
    """There is an object of this name, and it was not to be replaced."""


@dataclass(frozen=True)
class StoredObject:
    """One object; `etag` is without its quotes."""

    bucket: str
    name: str
    id: str
    owner: str | None
    size: int
    content_type: str
    etag: str
    recipe: Mapping[str, Any] | None
    created_at: str
    updated_at: str

    @property
    def modified(self) -> datetime:
        moment = parse_timestamp(self.updated_at)
        assert moment is not None
        return moment


class Objects:
    """Finds, stores, lists and removes objects; files of a recipe are made when first opened."""

    def __init__(self, database: Database, directory: Path) -> None:
        self._database = database
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def find(self, bucket: str, name: str) -> StoredObject | None:
        row = self._database.row(
            "SELECT * FROM storage_objects WHERE bucket = ? AND name = ?", (bucket, name)
        )
        return None if row is None else _object(row)

    def under(self, bucket: str, prefix: str) -> list[StoredObject]:
        """All objects whose name starts with `prefix`, by name."""
        rows = self._database.rows(
            "SELECT * FROM storage_objects WHERE bucket = ? AND substr(name, 1, ?) = ?"
            " ORDER BY name",
            (bucket, len(prefix), prefix),
        )
        return [_object(row) for row in rows]

    def file(self, stored: StoredObject) -> Path:
        """The file with the object's bytes."""
        path = self._directory / _file_name(stored.bucket, stored.name, stored.etag)
        if not path.exists():
            assert stored.recipe is not None, "an uploaded object has its file"
            unfinished = self.new_file()
            with unfinished.open("wb") as file:
                file.writelines(recipe_pieces(stored.recipe))
            unfinished.replace(path)
        return path

    def new_file(self) -> Path:
        """A name for a file in the making, on the same file system as the finished ones."""
        return self._directory / f"unfinished-{uuid.uuid4().hex}"

    def put(
        self,
        bucket: str,
        name: str,
        file: Path,
        *,
        content_type: str,
        owner: str | None,
        replace: bool,
        moment: str,
    ) -> StoredObject:
        """Take `file` (it is moved) as the object's bytes. Raises ObjectExistsError."""
        with file.open("rb") as content:
            etag = hashlib.file_digest(content, "md5").hexdigest()
        # An object that is replaced by equal bytes still is a new version.
        etag = hashlib.md5(f"{etag} {moment}".encode(), usedforsecurity=False).hexdigest()
        size = file.stat().st_size
        with self._database.transaction():
            old = self.find(bucket, name)
            if old is not None and not replace:
                raise ObjectExistsError(name)
            stored = StoredObject(
                bucket=bucket,
                name=name,
                id=old.id if old else str(uuid.uuid4()),
                owner=owner,
                size=size,
                content_type=content_type,
                etag=etag,
                recipe=None,
                created_at=old.created_at if old else moment,
                updated_at=moment,
            )
            self._save(stored)
            file.replace(self._directory / _file_name(bucket, name, etag))
        if old is not None and old.etag != etag:
            self._forget_file(old)
        return stored

    def replace_by_other_bytes(self, stored: StoredObject, moment: str) -> None:
        """Give the object other bytes of equal length; whoever has the old file open keeps it."""
        data = bytearray(self.file(stored).read_bytes())
        for index in range(len(data) // 2, len(data)):
            data[index] ^= 0x55
        file = self.new_file()
        file.write_bytes(data)
        self.put(
            stored.bucket,
            stored.name,
            file,
            content_type=stored.content_type,
            owner=stored.owner,
            replace=True,
            moment=moment,
        )

    def remove(self, stored: StoredObject) -> None:
        self._database.execute(
            "DELETE FROM storage_objects WHERE bucket = ? AND name = ?",
            (stored.bucket, stored.name),
        )
        self._forget_file(stored)

    def _save(self, stored: StoredObject) -> None:
        marks = ", ".join("?" * len(COLUMNS))
        self._database.execute(
            f"INSERT OR REPLACE INTO storage_objects ({', '.join(COLUMNS)}) VALUES ({marks})",
            _values(stored),
        )

    def _forget_file(self, stored: StoredObject) -> None:
        path = self._directory / _file_name(stored.bucket, stored.name, stored.etag)
        path.unlink(missing_ok=True)


def seeded_row(
    bucket: str,
    name: str,
    *,
    owner: str | None,
    content_type: str,
    recipe: Mapping[str, Any],
    moment: str,
    size: int | None = None,
) -> tuple[Any, ...]:
    """The row of an object whose file is made from `recipe` when somebody asks, by COLUMNS."""
    text = json.dumps(recipe)
    digest = hashlib.md5(f"{bucket}/{name} {text}".encode(), usedforsecurity=False).hexdigest()
    return (
        bucket,
        name,
        f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:]}",
        owner,
        recipe_size(recipe) if size is None else size,
        content_type,
        digest,
        text,
        moment,
        moment,
    )


def _values(stored: StoredObject) -> list[Any]:
    recipe = None if stored.recipe is None else json.dumps(stored.recipe)
    return [recipe if name == "recipe" else getattr(stored, name) for name in COLUMNS]


def _object(row: Mapping[str, Any]) -> StoredObject:
    values = {name: row[name] for name in COLUMNS}
    values["recipe"] = None if values["recipe"] is None else json.loads(values["recipe"])
    return StoredObject(**values)


def _file_name(bucket: str, name: str, etag: str) -> str:
    return hashlib.sha256(os.fsencode(f"{bucket}/{name} {etag}")).hexdigest()
