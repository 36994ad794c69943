"""A download ends as the right file in its place, or as a clear failure: never as a wrong file."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from lora_tui.cache import downloaded, models, transfer_queue
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.models import ModelQuery, get_row, put_models
from lora_tui.cache.transfer_queue import Transfer, TransferState
from lora_tui.config.table import Profile
from lora_tui.domain import Model
from lora_tui.engine.online import OnlineWriters
from lora_tui.errors import (
    CancelledError,
    DiskError,
    IntegrityError,
    InUseError,
    LoraTuiError,
    PartlyFailedError,
)
from lora_tui.sandbox import Sandbox
from lora_tui.transfers.control import cancel_model

ADAPTER = "adapter_model.safetensors"
SIGNED = "/storage/v1/object/sign/lora-models/"


@pytest.fixture
def online(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> Iterator[OnlineWriters]:
    monkeypatch.setattr("lora_tui.gateway.retry.RETRY", no_waiting())
    with closing(OnlineWriters(profile)) as writers:
        writers.sync()
        yield writers


def no_waiting() -> object:
    from lora_tui.gateway.retry import RETRY

    return RETRY.copy_with(backoff_factor=0.0)


@pytest.fixture
def model(online: OnlineWriters) -> Model:
    """A model whose files are all in the bucket."""
    with closing(open_cache(online.cache_path)) as db:
        for summary in models.select_models(db, ModelQuery(), offset=0, limit=100):
            found = models.get_model(db, summary.id)
            if found is not None and len(found.files) == 6 and (found.size or 0) > 1_000_000:
                return found
    raise AssertionError("the sandbox has no whole model")


@pytest.fixture
def truth(configured: Sandbox, model: Model) -> dict[str, bytes]:
    """What lies in the bucket, read with the service key."""
    with httpx.Client(headers={"apikey": configured.service_key}) as client:
        return {
            file.name: client.get(
                f"{configured.url}/storage/v1/object/authenticated/lora-models/{file.path}"
            )
            .raise_for_status()
            .content
            for file in model.files
        }


def states(online: OnlineWriters, model: Model) -> dict[str, TransferState]:
    with closing(open_cache(online.cache_path)) as db:
        return {row.file: row.state for row in transfer_queue.transfers_of(db, model.id)}


def assert_whole(directory: Path, truth: dict[str, bytes]) -> None:
    for name, content in truth.items():
        assert (directory / name).read_bytes() == content
    assert not list(directory.glob("*.part*"))


def test_all_files_arrive_byte_for_byte_with_a_manifest(
    online: OnlineWriters, model: Model, truth: dict[str, bytes], home: Path
) -> None:
    outcome = online.download(model.id)
    assert outcome.directory.parent == home / "downloads"
    assert_whole(outcome.directory, truth)
    manifest = json.loads((outcome.directory / "lora-tui.json").read_text())
    assert manifest["id"] == model.id
    assert {name: facts["sha256"] for name, facts in manifest["files"].items()} == {
        name: hashlib.sha256(content).hexdigest() for name, content in truth.items()
    }
    assert set(states(online, model).values()) == {TransferState.DONE}
    with closing(open_cache(online.cache_path)) as db:
        assert downloaded.downloaded_to(db, model.id) == outcome.directory


def test_a_second_download_fetches_nothing(
    online: OnlineWriters, model: Model, truth: dict[str, bytes], configured: Sandbox
) -> None:
    directory = online.download(model.id).directory
    before = len([r for r in configured.requests() if r["path"].startswith(SIGNED)])
    online.download(model.id)
    after = len([r for r in configured.requests() if r["path"].startswith(SIGNED)])
    assert before == after
    assert_whole(directory, truth)


def test_a_model_that_was_renamed_stays_where_it_is(
    online: OnlineWriters, model: Model, truth: dict[str, bytes], configured: Sandbox
) -> None:
    directory = online.download(model.id, [model.files[0].name]).directory
    with closing(open_cache(online.cache_path)) as db, transaction(db):
        row = get_row(db, model.id)
        assert row is not None
        put_models(db, [row | {"name": "Another name"}])
    assert online.download(model.id).directory == directory
    assert_whole(directory, truth)
    assert [path.name for path in directory.parent.iterdir()] == [directory.name]


def test_a_directory_of_another_model_is_not_used(
    online: OnlineWriters, model: Model, home: Path
) -> None:
    other = home / "downloads" / f"other-{model.id[:8]}"
    other.mkdir(parents=True)
    (other / "lora-tui.json").write_text(json.dumps({"id": "another", "files": {}}))
    assert online.download(model.id).directory != other
    assert [path.name for path in other.iterdir()] == ["lora-tui.json"]


@pytest.mark.parametrize("drop_after", [0, 900_000])
def test_a_connection_that_drops_again_and_again_is_resumed(
    online: OnlineWriters,
    model: Model,
    truth: dict[str, bytes],
    configured: Sandbox,
    drop_after: int,
) -> None:
    configured.faults(path=SIGNED, method="GET", drop_after=drop_after, drop_next=3)
    assert_whole(online.download(model.id).directory, truth)


def test_a_link_that_expires_midway_is_signed_again(
    online: OnlineWriters, model: Model, truth: dict[str, bytes], configured: Sandbox
) -> None:
    configured.faults(path=SIGNED, method="GET", fail_next=3, status=400)
    assert_whole(online.download(model.id).directory, truth)


def test_a_file_that_changes_midway_is_never_mixed(
    online: OnlineWriters, model: Model, truth: dict[str, bytes], configured: Sandbox
) -> None:
    configured.faults(
        path=SIGNED, method="GET", drop_after=400_000, drop_next=1, change_file_midway=1
    )
    try:
        directory = online.download(model.id, [ADAPTER]).directory
    except LoraTuiError:
        return
    content = (directory / ADAPTER).read_bytes()
    with httpx.Client(headers={"apikey": configured.service_key}) as client:
        path = next(file.path for file in model.files if file.name == ADAPTER)
        url = f"{configured.url}/storage/v1/object/authenticated/lora-models/{path}"
        now = client.get(url).raise_for_status().content
    assert content in (truth[ADAPTER], now)


def test_a_flipped_bit_in_a_file_of_known_checksum_is_refused(
    online: OnlineWriters, model: Model, configured: Sandbox
) -> None:
    checked = [file.name for file in model.files if file.sha256]
    if not checked:
        give_manifest(online, model, configured)
    configured.faults(path=SIGNED, method="GET", flip_bit=-1)
    with pytest.raises(IntegrityError):
        online.download(model.id, [ADAPTER])
    assert not (online.directory_of(model) / ADAPTER).exists()
    configured.clear_faults()
    assert online.download(model.id, [ADAPTER]).done == (ADAPTER,)


def give_manifest(online: OnlineWriters, model: Model, configured: Sandbox) -> None:
    """Let the row say the checksums, as our own harvest does."""
    outcome = online.download(model.id)
    manifest = json.loads((outcome.directory / "lora-tui.json").read_text())["files"]
    for file in outcome.directory.iterdir():
        file.unlink()
    with httpx.Client(headers={"apikey": configured.service_key}) as client:
        url = f"{configured.url}/rest/v1/model_artifacts"
        query = {"id": f"eq.{model.id}"}
        row = client.get(url, params=query).raise_for_status().json()[0]
        configuration = {**(row["configuration"] or {}), "files": manifest}
        changed = client.patch(url, params=query, json={"configuration": configuration})
        changed.raise_for_status()
    online.sync()


def test_a_missing_file_is_reported_and_the_others_arrive(
    online: OnlineWriters, model: Model, truth: dict[str, bytes], configured: Sandbox
) -> None:
    path = next(file.path for file in model.files if file.name == "tokenizer.json")
    with httpx.Client(headers={"apikey": configured.service_key}) as client:
        client.request(
            "DELETE",
            f"{configured.url}/storage/v1/object/lora-models",
            json={"prefixes": [path]},
        ).raise_for_status()
    with pytest.raises(PartlyFailedError, match="1 failed"):
        online.download(model.id)
    del truth["tokenizer.json"]
    assert_whole(online.directory_of(model), truth)


def test_a_file_of_the_users_own_is_not_overwritten_without_force(
    online: OnlineWriters, model: Model, truth: dict[str, bytes]
) -> None:
    directory = online.directory_of(model)
    directory.mkdir(parents=True)
    (directory / ADAPTER).write_bytes(b"mine")
    with pytest.raises(PartlyFailedError):
        online.download(model.id)
    assert (directory / ADAPTER).read_bytes() == b"mine"
    online.download(model.id, force=True)
    assert_whole(directory, truth)


def test_a_link_at_the_target_is_not_followed(
    online: OnlineWriters, model: Model, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    directory = online.directory_of(model)
    directory.mkdir(parents=True)
    (directory / ADAPTER).symlink_to(outside)
    (directory / f"{ADAPTER}.part").symlink_to(outside)
    with pytest.raises(DiskError):
        online.download(model.id, [ADAPTER], force=True)
    assert outside.read_bytes() == b"precious"


def test_a_stopped_download_goes_on_where_it_was(
    online: OnlineWriters, model: Model, truth: dict[str, bytes], configured: Sandbox
) -> None:
    started = threading.Event()

    def watch(transfer: Transfer) -> None:
        if transfer.file == ADAPTER and transfer.bytes_done > 0:
            started.set()
            with closing(open_cache(online.cache_path)) as db:
                cancel_model(db, model.id)

    configured.faults(path=SIGNED, method="GET", throttle=2_000_000)
    with pytest.raises(CancelledError):
        online.download(model.id, [ADAPTER], on_change=watch)
    assert started.is_set()
    part = online.directory_of(model) / f"{ADAPTER}.part"
    assert 0 < part.stat().st_size < len(truth[ADAPTER])
    configured.clear_faults()
    online.download(model.id, [ADAPTER])
    assert_whole(online.directory_of(model), {ADAPTER: truth[ADAPTER]})
    ranges = [r["range"] for r in configured.requests() if r["path"].startswith(SIGNED)]
    assert any(span and not span.startswith("bytes=0-") for span in ranges)


def test_a_second_process_does_not_write_the_same_file(
    online: OnlineWriters, model: Model, hold: Callable[[Path], None]
) -> None:
    directory = online.directory_of(model)
    directory.mkdir(parents=True)
    hold(directory / f"{ADAPTER}.part")
    with pytest.raises(InUseError, match="Another lora-tui"):
        online.download(model.id, [ADAPTER])


@pytest.fixture
def hold() -> Iterator[Callable[[Path], None]]:
    """Locks a file as another process would."""
    import fcntl

    files = []

    def lock(path: Path) -> None:
        file = path.open("wb")
        files.append(file)
        fcntl.flock(file, fcntl.LOCK_EX)

    yield lock
    for file in files:
        file.close()


def test_no_signed_link_is_kept_anywhere(
    online: OnlineWriters, model: Model, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    online.download(model.id)
    for file in home.rglob("*"):
        if file.is_file() and file.suffix != ".safetensors":
            assert b"token=" not in file.read_bytes(), file
    assert "token=" not in caplog.text
