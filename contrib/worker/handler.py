"""A RunPod handler that uploads what it has trained into the project's bucket. Replace `train`.

The run request (POST {endpoint}/run) brings the ids of the job's row and the keys of the bucket:

    {"input": {"user_id": "…", "job_id": "…", …},
     "s3Config": {"accessId": "…", "accessSecret": "…", "bucketName": "lora-models",
                  "endpointUrl": "https://PROJECT.storage.supabase.co/storage/v1/s3"}}

Keys of the endpoint's own environment serve as well (BUCKET_ENDPOINT_URL and so on), and then need
not be in every request.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import runpod
from upload_model import Bucket, upload_model


def train(settings: dict[str, Any]) -> Path:
    """Train, and return the folder with adapter_model.safetensors, adapter_config.json …"""
    raise NotImplementedError


def handler(job: dict[str, Any]) -> dict[str, Any]:
    settings = job["input"]
    folder = train(settings)
    manifest = upload_model(
        Bucket(job.get("s3Config") or from_environment()),
        {file.name: file for file in sorted(folder.iterdir()) if file.is_file()},
        user_id=settings["user_id"],
        job_id=settings["job_id"],
        external_job_id=job["id"],
    )
    return {"uploaded": manifest}  # for the log; the harvest reads the manifest in the bucket


def from_environment() -> dict[str, str]:
    return {
        "endpointUrl": os.environ["BUCKET_ENDPOINT_URL"],
        "accessId": os.environ["BUCKET_ACCESS_KEY_ID"],
        "accessSecret": os.environ["BUCKET_SECRET_ACCESS_KEY"],
        "region": os.environ.get("BUCKET_REGION", "us-east-1"),
    }


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
