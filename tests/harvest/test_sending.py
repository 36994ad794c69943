"""Large files go into the bucket in one request, in parallel parts or in pieces, whole."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from lora_tui.errors import ConflictError
from lora_tui.gateway import Gateway
from lora_tui.gateway.resumable import CHUNK
from lora_tui.gateway.s3 import S3Keys
from lora_tui.harvest import multipart, sending
from lora_tui.harvest.artifact_rows import StoredFile
from lora_tui.harvest.receipts import Receipts
from lora_tui.harvest.sending import Sender
from lora_tui.harvest.spool import Spool
from lora_tui.harvest.store import store_file
from lora_tui.sandbox import Sandbox
from lora_tui.secret import Secret
from tests.harvest.mortal import CrashError
from tests.pseudo_terminal import PATIENCE
from tests.waiting import until

PART = 5 << 20
BODY = (b"weights" + os.urandom(1 << 20)) * 12
"""Three parts of PART."""
S3 = "/storage/v1/s3/lora-models"
NAME = "merges.txt"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(models=0, waiting_jobs=0) as started:
        yield started


@dataclass
class Place:
    """A bucket, a machine's receipts, and a way to store one file."""

    sandbox: Sandbox
    gateway: Gateway
    directory: Path
    path: str

    def receipts(self) -> Receipts:
        return Receipts(self.directory, "artifact", "here/1/a")

    def store(
        self,
        fill: Callable[[Spool], None] | None = None,
        check_stop: Callable[[], None] | None = None,
    ) -> StoredFile:
        """As a new process does."""
        return store_file(
            Sender(self.gateway.storage, self.gateway.s3),
            NAME,
            self.path,
            fill or whole,
            spool_dir=self.directory,
            receipts=self.receipts(),
            check_stop=check_stop,
        )

    def asked(self, method: str, prefix: str = S3) -> list[dict[str, Any]]:
        return [
            entry
            for entry in self.sandbox.requests()
            if entry["method"] == method and entry["path"].startswith(prefix)
        ]

    def unfinished(self) -> list[str]:
        assert self.gateway.s3 is not None
        return [upload.upload_id for upload in self.gateway.s3.unfinished("u/")]

    def check_stored(self) -> None:
        """The object has the very bytes and the right type."""
        answer = httpx.get(
            f"{self.sandbox.url}/storage/v1/object/lora-models/{self.path}",
            headers={"apikey": self.sandbox.service_key},
            trust_env=False,
        )
        assert answer.content == BODY
        assert answer.headers["content-type"] == "application/octet-stream"


@pytest.fixture
def place(
    sandbox: Sandbox,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    monkeypatch.setattr(sending, "PARTS_LEAST", CHUNK + 1)
    monkeypatch.setattr(multipart, "PART", PART)
    monkeypatch.setattr("lora_tui.harvest.receipts.is_alive", lambda *_: False)
    sandbox.forget_requests()
    key = Secret(sandbox.service_key)
    with Gateway.for_service(sandbox.url, key, s3_keys=keys_of(sandbox)) as gateway:
        yield Place(sandbox, gateway, tmp_path, f"u/{tmp_path.name}/{NAME}")
        sandbox.clear_faults()
        assert gateway.s3 is not None
        for upload in gateway.s3.unfinished("u/"):
            gateway.s3.abort(upload.key, upload.upload_id)


def keys_of(sandbox: Sandbox, secret: str | None = None) -> S3Keys:
    environment = sandbox.s3_environment()
    return S3Keys(
        Secret(environment["LORA_TUI_S3_ACCESS_KEY_ID"]),
        Secret(secret or environment["LORA_TUI_S3_SECRET_ACCESS_KEY"]),
        "us-east-1",
    )


def whole(spool: Spool) -> None:
    """The source: all bytes, with a strong ETag."""
    spool.announce(len(BODY), '"one"')
    for start in range(0, len(BODY), 1 << 20):
        spool.append(memoryview(BODY)[start : start + (1 << 20)])
    spool.finish()


def test_with_s3_keys_a_large_file_goes_in_parts(place: Place) -> None:
    assert place.store().sent
    place.check_stored()
    assert len(place.asked("PUT")) == 3
    assert place.unfinished() == []
    assert place.asked("POST", "/storage/v1/upload") == []
    # stored once: its receipt has the ETag of the parts
    assert not place.store().sent


def test_parts_that_fail_are_sent_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.sandbox.faults(method="PUT", path=S3, fail_next=2, status=503)
    place.sandbox.faults(method="PUT", path=f"{S3}/u", drop_request_after=PART // 2)
    assert place.store().sent
    place.check_stored()
    assert place.asked("POST", "/storage/v1/upload") == []


def test_a_part_that_is_confirmed_with_other_bytes_is_sent_again(place: Place) -> None:
    place.sandbox.faults(wrong_part_etag=1)
    place.store()
    place.check_stored()
    assert len(place.asked("PUT")) == 4


def test_where_no_part_is_confirmed_the_file_goes_in_another_way_and_no_part_stays(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.sandbox.faults(wrong_part_etag=-1)
    place.store()
    place.check_stored()
    assert place.unfinished() == []
    assert "not over S3: The storage confirms other bytes than were sent" in caplog.text


@pytest.mark.parametrize(
    ("status", "code", "all_files"),
    [
        (404, "NoSuchUpload", False),
        (400, "InvalidPart", False),
        (404, "NoSuchBucket", True),
        (501, "NotImplemented", True),
        (403, "AccessDenied", True),
        (403, "SignatureDoesNotMatch", True),
        (403, "InvalidAccessKeyId", True),
    ],
)
def test_only_a_refusal_of_keys_bucket_or_protocol_keeps_further_files_from_going_in_parts(
    place: Place, monkeypatch: pytest.MonkeyPatch, status: int, code: str, all_files: bool
) -> None:
    refusal = f"<Error><Code>{code}</Code><Message>no</Message></Error>"
    page = httpx.MockTransport(lambda _: httpx.Response(status, text=refusal))
    s3 = place.gateway.s3
    assert s3 is not None
    sender = Sender(place.gateway.storage, s3)

    def store(name: str) -> None:
        path = place.path.replace(NAME, name)
        receipts = Receipts(place.directory, name, "here/1/a")
        store_file(sender, name, path, whole, spool_dir=place.directory, receipts=receipts)

    with httpx.Client(transport=page) as refusing, monkeypatch.context() as patch:
        patch.setattr(s3, "_client", lambda _host: refusing)
        store("one.txt")
    place.sandbox.forget_requests()
    store("two.txt")
    assert (place.asked("PUT") == []) is all_files


def test_the_lost_answer_of_the_last_request_is_made_up_for(place: Place) -> None:
    def fill(spool: Spool) -> None:
        spool.announce(len(BODY), '"one"')
        # the only other POST is the one that begins the upload
        until(lambda: any(entry["status"] for entry in place.asked("POST")))
        place.sandbox.faults(method="POST", path=S3, drop_after=0, drop_next=1)
        spool.append(memoryview(BODY))
        spool.finish()

    assert place.store(fill).sent
    place.check_stored()
    assert [entry["status"] for entry in place.asked("POST")][1:] == [None, 404]
    assert place.unfinished() == []


def test_after_a_crash_only_the_missing_parts_are_sent(place: Place) -> None:
    def interrupted(spool: Spool) -> None:
        spool.announce(len(BODY), '"one"')
        spool.append(memoryview(BODY)[: 2 * PART + 1])
        until(lambda: len([e for e in place.asked("PUT") if e["status"] == 200]) == 2)
        raise CrashError

    with pytest.raises(CrashError):
        place.store(interrupted)
    assert len(place.unfinished()) == 1
    place.sandbox.forget_requests()
    assert place.store().sent
    place.check_stored()
    assert len(place.asked("PUT")) == 1


def test_an_upload_that_is_continued_after_days_is_not_taken_for_abandoned(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(spool: Spool) -> None:
        spool.announce(len(BODY), '"one"')
        until(lambda: place.unfinished() != [])
        raise CrashError

    with pytest.raises(CrashError):
        place.store(interrupted)
    monkeypatch.setattr(multipart, "ABANDONED_AGE", timedelta(days=-1))
    place.sandbox.forget_requests()
    place.store()
    place.check_stored()
    assert [entry["status"] for entry in place.asked("DELETE")] == []


def test_a_source_that_changed_meanwhile_is_sent_anew_and_what_was_left_is_removed_in_a_day(
    place: Place,
) -> None:
    def interrupted(spool: Spool) -> None:
        spool.announce(len(BODY), '"another version"')
        spool.append(memoryview(BODY[:PART][::-1]))
        until(lambda: place.unfinished() != [])
        raise CrashError

    with pytest.raises(CrashError):
        place.store(interrupted)
    [left] = place.unfinished()
    place.store()
    place.check_stored()
    assert place.unfinished() == [left]  # it may have a sender on another machine
    place.sandbox._backend.database.execute(
        "UPDATE multipart_uploads SET created_at = '2020-01-01T00:00:00+00:00'"
    )
    place.path = place.path.replace("merges", "other")
    place.receipts().discard()
    place.store()
    assert place.unfinished() == []


def test_an_upload_without_a_strong_etag_of_its_source_leaves_nothing(place: Place) -> None:
    def interrupted(spool: Spool) -> None:
        spool.announce(len(BODY), None)
        spool.append(memoryview(BODY)[:PART])
        until(lambda: place.unfinished() != [])
        raise CrashError

    with pytest.raises(CrashError):
        place.store(interrupted)
    assert place.unfinished() == []


def test_refused_s3_keys_are_said_and_the_file_goes_in_one_request(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    key, wrong = Secret(place.sandbox.service_key), "this-secret-is-not-the-right-one"
    caplog.set_level(logging.DEBUG)
    with Gateway.for_service(
        place.sandbox.url, key, s3_keys=keys_of(place.sandbox, wrong)
    ) as gateway:
        place.gateway, right = gateway, place.gateway
        place.store()
    place.gateway = right
    place.check_stored()
    assert "the server does not accept the S3 keys" in caplog.text
    assert "LORA_TUI_S3_SECRET_ACCESS_KEY" in caplog.text
    assert wrong not in caplog.text
    assert len(place.asked("POST", f"/storage/v1/object/lora-models/{place.path}")) == 1


def test_an_object_that_appears_meanwhile_is_not_replaced(place: Place) -> None:
    place.store()
    with Spool(place.directory) as spool:
        whole(spool)
        with pytest.raises(ConflictError):
            Sender(place.gateway.storage, place.gateway.s3).send(
                "other.txt", place.path, spool, place.receipts(), len(BODY), replace=False
            )
    assert place.unfinished() == []


def test_a_file_over_the_limit_is_refused_by_name_of_the_limit(place: Place) -> None:
    place.sandbox.faults(project_upload_limit=CHUNK)
    with pytest.raises(Exception, match="global upload limit"):
        place.store()
    assert place.unfinished() == []


def test_an_unfinished_upload_in_pieces_is_continued_where_s3_keys_came_meanwhile(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "STANDARD_LIMIT", CHUNK)
    s3 = place.gateway.s3
    place.gateway = Gateway(place.gateway.rest, place.gateway.storage)

    def interrupted(spool: Spool) -> None:
        spool.announce(len(BODY), '"one"')
        spool.append(memoryview(BODY)[: CHUNK + 1])
        until(lambda: any(e["status"] == 204 for e in place.asked("PATCH", "/storage/v1/upload")))
        raise CrashError

    with pytest.raises(CrashError):
        place.store(interrupted)
    place.gateway = Gateway(place.gateway.rest, place.gateway.storage, s3)
    place.sandbox.forget_requests()
    place.store()
    place.check_stored()
    assert place.asked("PUT") == []
    sent = sum(entry["received"] for entry in place.asked("PATCH", "/storage/v1/upload"))
    assert sent == len(BODY) - CHUNK


def test_weights_are_measured_while_the_file_is_still_on_its_way(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = threading.Event()

    def measure(descriptor: int | None, _recorded: object) -> str:
        assert descriptor is not None
        measured.set()
        return "facts"

    def send(*_arguments: object, **_options: object) -> None:
        assert measured.wait(PATIENCE)
        place.gateway.storage.upload(place.path, iter([BODY]), size=len(BODY))

    monkeypatch.setattr(Sender, "send", send)
    stored = store_file(
        Sender(place.gateway.storage),
        NAME,
        place.path,
        whole,
        spool_dir=place.directory,
        receipts=place.receipts(),
        measure=measure,
    )
    assert stored.sent
    assert place.receipts().measured(NAME) == "facts"
    place.check_stored()
