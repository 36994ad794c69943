"""The connections of a harvest: the project as service role, the GPU worker, the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lora_tui.config.kinds import OFF
from lora_tui.config.table import Profile
from lora_tui.errors import ConfigError
from lora_tui.files import disk_error, make_private_directory
from lora_tui.gateway import Gateway
from lora_tui.gateway.gpu import Worker
from lora_tui.gateway.rest import Rest
from lora_tui.gateway.s3 import S3Keys, S3Uploads
from lora_tui.gateway.storage import Storage
from lora_tui.gateway.storage_host import storage_url
from lora_tui.harvest.byte_budget import ByteBudget
from lora_tui.harvest.ledger import Ledger, ledger_path
from lora_tui.harvest.queue import Queue
from lora_tui.harvest.removal import RemovalClock
from lora_tui.harvest.sending import Sender
from lora_tui.processes import new_identity
from lora_tui.secret import Secret

LEASE_SECONDS: Final = 60
"""How long a job stays claimed after its harvester died."""


@dataclass(frozen=True)
class Harvester:
    """Everything that a cycle needs. Close it at the end."""

    rest: Rest
    storage: Storage
    worker: Worker
    ledger: Ledger
    """The state of this machine's harvest."""
    spool_dir: Path
    """The directory of temporary files, which are up to 5 GiB large."""
    allow_private_urls: bool = False
    """Whether files may be fetched from private addresses; for test set-ups."""
    lease_seconds: int = LEASE_SECONDS
    holder: str = field(default_factory=new_identity)
    """The owner of its leases."""
    beat: Callable[[], None] = lambda: None
    """Called regularly while a file is transferred."""

    budget: ByteBudget = field(default_factory=ByteBudget)
    """What all jobs may have in hand at once."""

    remove_deleted_after: int | None = None
    """Days after which the files of deleted models are removed; None: never."""
    removals: RemovalClock = field(default_factory=RemovalClock)
    queue: Queue = field(init=False)
    """The jobs that wait, and what is recorded of them."""

    s3: S3Uploads | None = None
    """The bucket's multipart uploads, where S3 keys are configured."""
    sender: Sender = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sender", Sender(self.storage, self.s3))
        queue = Queue(self.rest, self.ledger, self.holder, self.lease_seconds)
        object.__setattr__(self, "queue", queue)

    def close(self) -> None:
        """Close the connections."""
        self.worker.close()
        if self.s3 is not None:
            self.s3.close()
        self.storage.close()
        self.rest.close()
        self.ledger.close()


def require_keys(profile: Profile) -> tuple[Secret, str, Secret]:
    """The service role key, the worker's address and its key. Raises ConfigError."""
    if not profile.service_key:
        raise ConfigError(
            "The harvest needs the service role key of the project",
            remedy="set SUPABASE_SERVICE_ROLE_KEY, or SUPABASE_SERVICE_ROLE_KEY_FILE to its file",
        )
    if not profile.gpu_url or not profile.gpu_key:
        missing = "GPU_CLUSTER_API_KEY" if profile.gpu_url else "GPU_CLUSTER_API_URL"
        raise ConfigError(
            "The harvest needs the address and the key of the GPU worker", remedy=f"set {missing}"
        )
    return profile.service_key, profile.gpu_url, profile.gpu_key


def connect_service(profile: Profile, service_key: Secret) -> Gateway:
    """The project as service role, with the configured ways to send large files.

    Raises ConfigError where one of the S3 keys is missing, UsageError where their extra is.
    """
    return Gateway.for_service(
        profile.url,
        service_key,
        large_files_url=large_files_url(profile),
        s3_keys=s3_keys(profile),
    )


def large_files_url(profile: Profile) -> str | None:
    """Another address of the project's storage, for large files; None if there is none."""
    if profile.storage_url is None:
        return storage_url(profile.url)
    return None if profile.storage_url == OFF else profile.storage_url


def s3_keys(profile: Profile) -> S3Keys | None:
    """The configured S3 keys; None where there are none. Raises ConfigError."""
    access_key_id, secret = profile.s3_access_key_id, profile.s3_secret_access_key
    if access_key_id and secret:
        return S3Keys(access_key_id, secret, profile.s3_region)
    if not access_key_id and not secret:
        return None
    missing = "LORA_TUI_S3_ACCESS_KEY_ID" if secret else "LORA_TUI_S3_SECRET_ACCESS_KEY"
    raise ConfigError(
        "Sending over S3 needs the id of an access key and its secret",
        remedy=f"set {missing}, or remove the other one",
    )


def spool_directory(profile: Profile) -> Path:
    """The directory of temporary files, made where it is missing. Raises DiskError."""
    spool_dir = profile.paths.cache_dir / "harvest"
    try:
        make_private_directory(spool_dir)
    except OSError as error:
        raise disk_error(
            error,
            "Files being transferred can't be stored",
            spool_dir,
            instead="set LORA_TUI_HOME to another directory",
        ) from error
    return spool_dir


@contextmanager
def open_queue(profile: Profile, ledger: Ledger) -> Iterator[Queue | None]:
    """The queue for a look at it, not for a harvest; None without the service role key."""
    if not profile.service_key:
        yield None
        return
    with Gateway.for_service(profile.url, profile.service_key) as gateway:
        yield Queue(gateway.rest, ledger, "", LEASE_SECONDS)


def connect(profile: Profile) -> Harvester:
    """A harvester of this profile's project; nothing is sent yet.

    Raises UsageError where the service role key or the GPU worker is not configured, or S3 keys are
    not usable, and DiskError.
    """
    service_key, gpu_url, gpu_key = require_keys(profile)
    spool_dir = spool_directory(profile)
    gateway = connect_service(profile, service_key)
    ledger = Ledger(ledger_path(profile))
    return Harvester(
        rest=gateway.rest,
        storage=gateway.storage,
        worker=Worker(gpu_url, gpu_key),
        ledger=ledger,
        spool_dir=spool_dir,
        allow_private_urls=profile.allow_private_urls,
        budget=ByteBudget(profile.spool_limit),
        remove_deleted_after=profile.remove_deleted_after,
        s3=gateway.s3,
    )
