"""The objects behind Storage and the worker's presigned URLs: rows in SQLite, bytes in files."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from lora_tui.clock import parse_timestamp
from lora_tui.files import replacing_file
from lora_tui.sandbox.database import Database
from lora_tui.sandbox.seed.adapter_files import Recipe, recipe_pieces, recipe_size

BUCKET: Final = "lora-models"
BUCKET_LIMIT: Final = 5 * 1024**3
BUCKET_TYPES: Final = ("application/octet-stream", "application/x-tar", "application/json")
WORKER_BUCKET: Final = "worker-files"
_PIECE: Final = 1 << 20

COLUMNS: Final = (
    "bucket",
    "name",
    "id",
    "owner",
    "size",
    "content_type",
    "cache_control",
    "version",
    "etag",
    "metadata",
    "recipe",
    "created_at",
    "updated_at",
)


@dataclass(frozen=True)
class StoredObject:
    """One object. `etag` has no quotes and depends on the bytes; `version` differs for each upload.

    `metadata` is what the uploader stored with it.
    """

    bucket: str
    name: str
    id: str
    owner: str | None
    size: int
    content_type: str
    cache_control: str
    version: str
    etag: str
    metadata: Mapping[str, Any]
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
        row = self._row(bucket, name)
        return None if row is None else self._object(row)

    def names_under(self, bucket: str, prefix: str) -> list[str]:
        """The names that start with `prefix`, in whatever case, in order."""
        rows = self._database.rows(
            "SELECT name FROM storage_objects WHERE bucket = ? AND lower(substr(name, 1, ?)) = ?"
            " ORDER BY name",
            (bucket, len(prefix), prefix.lower()),
        )
        return [row["name"] for row in rows]

    def file(self, stored: StoredObject) -> Path:
        """The file with the object's bytes."""
        return self._made(stored.bucket, stored.name, stored.version, stored.recipe)

    def new_file(self) -> Path:
        """A path for an unfinished file, on the file system of the finished ones."""
        return self._directory / f"unfinished-{uuid.uuid4().hex}"

    def put(
        self,
        bucket: str,
        name: str,
        file: Path,
        *,
        content_type: str,
        owner: str | None,
        moment: str,
        cache_control: str = "no-cache",
        metadata: Mapping[str, Any] | None = None,
        parts: Sequence[int] = (),
        etag: str | None = None,
    ) -> StoredObject:
        """Take `file` (it is moved) as the object's bytes, in place of those that it had.

        `parts` are the sizes of its parts if it was uploaded to s3 in parts; `etag` is its ETag
        where that is known.
        """
        etag = etag or (multipart_etag(file, parts) if parts else md5_etag(file))
        with self._database.transaction():
            old = self._row(bucket, name)
            stored = StoredObject(
                bucket=bucket,
                name=name,
                id=old["id"] if old else str(uuid.uuid4()),
                owner=owner,
                size=file.stat().st_size,
                content_type=content_type,
                cache_control=cache_control,
                version=str(uuid.uuid4()),
                etag=etag,
                metadata=metadata or {},
                recipe=None,
                created_at=old["created_at"] if old else moment,
                updated_at=moment,
            )
            self._save(stored)
            file.replace(self._path(bucket, name, stored.version))
        if old is not None:
            self._path(bucket, name, old["version"]).unlink(missing_ok=True)
        return stored

    def replace_by_other_bytes(self, stored: StoredObject, moment: str) -> None:
        """Replace the bytes by others of equal length; open files keep the old ones."""
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
            moment=moment,
            cache_control=stored.cache_control,
            metadata=stored.metadata,
        )

    def remove(self, stored: StoredObject) -> bool:
        """Remove an object; whether it was still there: of two requests at once one removes it."""
        found = self._database.execute(
            "DELETE FROM storage_objects WHERE bucket = ? AND name = ? AND version = ?",
            (stored.bucket, stored.name, stored.version),
        )
        self._path(stored.bucket, stored.name, stored.version).unlink(missing_ok=True)
        return bool(found)

    def _row(self, bucket: str, name: str) -> Mapping[str, Any] | None:
        return self._database.row(
            "SELECT * FROM storage_objects WHERE bucket = ? AND name = ?", (bucket, name)
        )

    def _object(self, row: Mapping[str, Any]) -> StoredObject:
        values = {name: row[name] for name in COLUMNS}
        values["metadata"] = json.loads(values["metadata"])
        if values["recipe"] is not None:
            values["recipe"] = json.loads(values["recipe"])
        if values["etag"] is None:  # a seeded object is made and hashed when first asked for
            file = self._made(row["bucket"], row["name"], row["version"], values["recipe"])
            values["etag"] = md5_etag(file)
            self._database.execute(
                "UPDATE storage_objects SET etag = ? WHERE bucket = ? AND name = ? AND version = ?",
                (values["etag"], row["bucket"], row["name"], row["version"]),
            )
        return StoredObject(**values)

    def _made(self, bucket: str, name: str, version: str, recipe: Recipe | None) -> Path:
        path = self._path(bucket, name, version)
        if not path.exists():
            assert recipe is not None, "an uploaded object has its file"
            with replacing_file(path) as (file, _):
                file.buffer.writelines(recipe_pieces(recipe))
        return path

    def _save(self, stored: StoredObject) -> None:
        marks = ", ".join("?" * len(COLUMNS))
        self._database.execute(
            f"INSERT OR REPLACE INTO storage_objects ({', '.join(COLUMNS)}) VALUES ({marks})",
            _values(stored),
        )

    def _path(self, bucket: str, name: str, version: str) -> Path:
        text = os.fsencode(f"{bucket}/{name} {version}")
        return self._directory / hashlib.sha256(text).hexdigest()


def md5_etag(file: Path) -> str:
    """The ETag of an object uploaded in one piece."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "md5").hexdigest()


def multipart_etag(file: Path, parts: Sequence[int]) -> str:
    """The ETag of an object uploaded in parts of these sizes: the MD5 of MD5s, and their number."""
    whole = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as content:
        for size in parts:
            part = hashlib.md5(usedforsecurity=False)
            while size and (piece := content.read(min(size, _PIECE))):
                part.update(piece)
                size -= len(piece)
            whole.update(part.digest())
    return f"{whole.hexdigest()}-{len(parts)}"


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
    identifier = f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:]}"
    return (
        bucket,
        name,
        identifier,
        owner,
        recipe_size(recipe) if size is None else size,
        content_type,
        "no-cache",
        identifier,
        None,
        "{}",
        text,
        moment,
        moment,
    )


def _values(stored: StoredObject) -> list[Any]:
    recipe = None if stored.recipe is None else json.dumps(stored.recipe)
    as_text = {"recipe": recipe, "metadata": json.dumps(stored.metadata)}
    return [as_text.get(name, getattr(stored, name)) for name in COLUMNS]
