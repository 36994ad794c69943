"""Puts a trained adapter from the GPU worker straight into the project's bucket.

Copy this file beside your RunPod handler (handler.py shows how it is called). It uploads the files
through Supabase's S3 endpoint, compares each ETag with the bytes on this disk, and writes the
manifest last. `lora-tui --harvest` then verifies and publishes the model without moving a file;
docs/harvest.md, "When the worker writes into the bucket itself", describes the contract.

Needs boto3, which the RunPod SDK brings along, and nothing of lora-tui.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMESPACE = uuid.UUID("5b0ad6ff-7f0c-4b0f-9c39-6f6b6a0a1d52")
MANIFEST = "upload-manifest.json"
PART_BYTES = 16 * 1024 * 1024
"""Larger files are sent in parts of this size, several at once."""


def model_folder(user_id: str, job_id: str) -> str:
    """The folder of a model in the bucket, from `training_jobs.user_id` and `training_jobs.id`."""
    return f"{user_id.lower()}/{uuid.uuid5(NAMESPACE, job_id.lower())}"


def upload_model(
    bucket: Bucket, files: Mapping[str, Path], *, user_id: str, job_id: str, external_job_id: str
) -> dict[str, Any]:
    """Upload the files by their names in the model, then the manifest, which is returned.

    `external_job_id` is RunPod's id of this run. Where anything fails, what was uploaded is removed
    and the error raised: let the job fail with it.
    """
    folder = model_folder(user_id, job_id)
    bucket.delete([f"{folder}/{MANIFEST}"])  # of an earlier run: its files are replaced now
    entries: dict[str, dict[str, Any]] = {}
    started: list[str] = []
    try:
        for name, file in files.items():
            local = Checksums.of(file)
            started.append(f"{folder}/{name}")
            bucket.upload(file, started[-1])
            etag = bucket.etag(started[-1])
            if etag not in local.etags:
                raise RuntimeError(f"the bucket has other bytes of {name} than this disk ({etag})")
            entries[name] = {"size": local.size, "sha256": local.sha256, "etag": etag}
        manifest = {
            "version": 1,
            "job_id": job_id.lower(),
            "external_job_id": external_job_id,
            "files": entries,
        }
        bucket.put_json(f"{folder}/{MANIFEST}", json.dumps(manifest))
    except BaseException:
        bucket.delete(started)
        raise
    return manifest


@dataclass(frozen=True)
class Checksums:
    """What identifies a file on this disk, and the ETags that a bucket may give it."""

    size: int
    sha256: str
    etags: tuple[str, ...]
    """The MD5 of the whole; and the MD5 of the parts' MD5s, which S3 gives an upload in parts."""

    @classmethod
    def of(cls, file: Path) -> Checksums:
        """Read a file once."""
        size, parts = 0, []
        sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        with file.open("rb") as content:
            while part := content.read(PART_BYTES):
                size += len(part)
                sha256.update(part)
                md5.update(part)
                parts.append(hashlib.md5(part, usedforsecurity=False).digest())
        of_parts = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
        return cls(size, sha256.hexdigest(), (md5.hexdigest(), f"{of_parts}-{len(parts)}"))


class Bucket:
    """The project's bucket, through its S3 endpoint."""

    def __init__(self, s3_config: Mapping[str, str]) -> None:
        """`s3_config`: accessId, accessSecret, endpointUrl, perhaps bucketName and region."""
        import boto3
        from boto3.s3.transfer import TransferConfig
        from botocore.config import Config

        self._name = s3_config.get("bucketName", "lora-models")
        self._client = boto3.client(
            "s3",
            endpoint_url=s3_config["endpointUrl"],
            aws_access_key_id=s3_config["accessId"],
            aws_secret_access_key=s3_config["accessSecret"],
            region_name=s3_config.get("region", "us-east-1"),
            config=Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                retries={"max_attempts": 5, "mode": "standard"},
            ),
        )
        self._in_parts = TransferConfig(
            multipart_threshold=PART_BYTES + 1, multipart_chunksize=PART_BYTES, max_concurrency=4
        )

    def upload(self, file: Path, key: str) -> None:
        """Store a file, in parts where it is large."""
        kind = "application/json" if key.endswith(".json") else "application/octet-stream"
        options = {"ContentType": kind}  # the bucket takes no other types than these two and x-tar
        self._client.upload_file(
            str(file), self._name, key, ExtraArgs=options, Config=self._in_parts
        )

    def put_json(self, key: str, text: str) -> None:
        """Store a text of JSON."""
        self._client.put_object(
            Bucket=self._name, Key=key, Body=text.encode(), ContentType="application/json"
        )

    def etag(self, key: str) -> str:
        """The ETag of an object, without its quotes."""
        return str(self._client.head_object(Bucket=self._name, Key=key)["ETag"]).strip('"')

    def delete(self, keys: list[str]) -> None:
        """Remove objects; missing ones are no error."""
        for key in keys:
            self._client.delete_object(Bucket=self._name, Key=key)
