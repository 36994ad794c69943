"""What a receipt proves, and how long a lease does: each part of the proof counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from lora_tui.errors import IntegrityError
from lora_tui.gateway.rest import Rest
from lora_tui.gateway.storage import ObjectInfo, Storage
from lora_tui.harvest.lease import Lease, LeaseLostError
from lora_tui.harvest.receipts import Receipt, Receipts
from lora_tui.harvest.sending import Sender
from lora_tui.harvest.spool import Spool
from lora_tui.harvest.store import store_file

STORED = ObjectInfo("u/a/weights.bin", 7, '"etag"', None)
OTHERS = [replace(STORED, size=8), replace(STORED, etag='"another"'), replace(STORED, etag=None)]


@pytest.fixture
def receipts(tmp_path: Path) -> Receipts:
    receipts = Receipts(tmp_path, "artifact", "here/1/a")
    receipts.add("weights.bin", Receipt(7, "checksum", '"etag"', '"source"'))
    return receipts


def test_a_receipt_proves_one_checksum_of_one_version_of_the_object(receipts: Receipts) -> None:
    assert receipts.proves("weights.bin", STORED, "checksum")
    assert not receipts.proves("weights.bin", STORED, "another")
    assert not any(receipts.proves("weights.bin", other, "checksum") for other in OTHERS)


def test_a_source_is_not_read_again_only_where_it_names_the_same_version(
    receipts: Receipts,
) -> None:
    assert receipts.known("weights.bin", STORED, '"source"') is not None
    for version in ('"another"', None):
        assert receipts.known("weights.bin", STORED, version) is None
    for other in OTHERS:
        assert receipts.known("weights.bin", other, '"source"') is None


def test_an_upload_goes_on_only_with_the_same_bytes(receipts: Receipts) -> None:
    receipts.upload_begun("large.bin", 70, '"source"', "the address")
    assert receipts.upload_of("large.bin", 70, '"source"') == "the address"
    for size, version in ((71, '"source"'), (70, '"another"'), (70, None)):
        assert receipts.upload_of("large.bin", size, version) is None


def test_an_upload_of_another_machine_goes_on_once_its_process_shows_no_presence(
    tmp_path: Path,
) -> None:
    Receipts(tmp_path, "artifact", "elsewhere/1/a").upload_begun("large.bin", 70, '"v"', "address")
    other = Receipts(tmp_path, "artifact", "here/1/a")
    assert other.upload_of("large.bin", 70, '"v"') is None
    (presence,) = (tmp_path / "uploads.owners").iterdir()
    presence.unlink()
    assert other.upload_of("large.bin", 70, '"v"') == "address"


def test_an_object_of_another_size_than_was_sent_is_no_stored_file(tmp_path: Path) -> None:
    class Short:
        """Keeps less than it says."""

        def info(self, _path: str) -> ObjectInfo:
            return replace(STORED, size=6)

        def upload(self, _path: str, body: Any, **_: Any) -> None:
            assert b"".join(body) == b"weights"

    def fill(spool: Spool) -> None:
        spool.announce(7, None)
        spool.append(memoryview(b"weights"))
        spool.finish()

    receipts = Receipts(tmp_path, "artifact", "here/1/a")
    with pytest.raises(IntegrityError, match="another size"):
        store_file(
            Sender(cast(Storage, Short())),
            "merges.txt",
            "u/a/merges.txt",
            fill,
            spool_dir=tmp_path,
            receipts=receipts,
        )
    assert not receipts.all_ours(["merges.txt"])


def lease_of(answer: Callable[[], bool | None]) -> Lease:
    class Leases:
        def claim_lease(self, *_: object) -> bool:
            return True

        def renew_lease(self, *_: object) -> bool | None:
            return answer()

    lease = Lease.claim(cast(Rest, Leases()), "job", "here", 60)
    assert lease is not None
    return lease


def test_a_lease_that_was_not_renewed_in_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    lease = lease_of(lambda: True)
    lease.check()
    later = time.monotonic() + 60
    monkeypatch.setattr("lora_tui.harvest.lease.time.monotonic", lambda: later)
    with pytest.raises(LeaseLostError):
        lease.check()


@pytest.mark.parametrize(("answer", "ours"), [(True, True), (False, False), (None, False)])
def test_only_the_backend_says_whose_a_lease_is(answer: bool | None, ours: bool) -> None:
    assert lease_of(lambda: answer).is_still_ours() is ours


def test_no_link_is_followed_in_place_of_receipts(receipts: Receipts, tmp_path: Path) -> None:
    (tmp_path / "other.json").symlink_to(tmp_path / "artifact.json")
    assert receipts.all_ours(["weights.bin"])
    assert not Receipts(tmp_path, "other", "here/1/a").all_ours(["weights.bin"])


def test_receipts_that_are_no_object_or_too_deep_are_ignored(tmp_path: Path) -> None:
    for content in ("[1]", "[" * 100_000, '{"weights.bin"'):
        (tmp_path / "artifact.json").write_text(content)
        assert not Receipts(tmp_path, "artifact", "here/1/a").all_ours(["weights.bin"])
