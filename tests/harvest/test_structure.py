"""Nothing becomes a model that nobody could use: what a worker's storage gives is looked at."""

from __future__ import annotations

import gzip
import hashlib
import io
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from lora_tui.harvest.events import FileStored, ResultLost
from lora_tui.harvest.structure import DamagedFileError, Inspector, require_weights
from tests.harvest.hostile import CONFIG, WEIGHTS, Handle, HostileWorker, adapter_files, send
from tests.harvest.world import World, failures
from tests.push.adapter import weights

PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(zipfile.ZipInfo("archive/data.pkl"), b"\x80\x02}.")
        file.writestr(zipfile.ZipInfo("archive/data/0"), bytes(4_000))
    return content.getvalue()


def as_page(handler: BaseHTTPRequestHandler) -> None:
    send(handler, PAGE, kind="text/html")


def compressed(handler: BaseHTTPRequestHandler) -> None:
    send(handler, gzip.compress(weights()), Content_Encoding="gzip")


def header_that_lies(by: int) -> bytes:
    content = weights()
    return (int.from_bytes(content[:8], "little") + by).to_bytes(8, "little") + content[8:]


LARGE = weights(rank=64, width=14_000)
"""More than goes in one request: it is sent in pieces while it arrives."""

DAMAGES: list[tuple[str, str, bytes | Handle]] = [
    ("empty weights", WEIGHTS, b""),
    ("cut short with a length that fits", WEIGHTS, weights()[:-100]),
    ("cut short within the header", WEIGHTS, weights()[:40]),
    ("longer than the header says", WEIGHTS, weights() + b"more"),
    ("a header that is longer than it is", WEIGHTS, header_that_lies(+1)),
    ("a header that is shorter than it is", WEIGHTS, header_that_lies(-1)),
    ("no tensors", WEIGHTS, (2).to_bytes(8, "little") + b"{}"),
    ("a page as weights", WEIGHTS, as_page),
    ("compressed weights", WEIGHTS, compressed),
    ("compressed and not said so", WEIGHTS, gzip.compress(weights())),
    ("large ones cut short", WEIGHTS, LARGE[:-1]),
    ("a page as configuration", CONFIG, as_page),
    ("an empty configuration", CONFIG, b""),
    ("a configuration of nothing", CONFIG, b"{}"),
    ("a configuration that is a list", CONFIG, b'["LORA"]'),
    ("a configuration cut short", CONFIG, b'{"peft_type": "LORA", "r"'),
    ("a tokenizer that is null", "tokenizer.json", b"null"),
    ("a page as training_args.bin", "training_args.bin", as_page),
    ("an archive cut short", "training_args.bin", archive()[:-60]),
    ("an error in XML", "training_args.bin", b'<?xml version="1.0"?><Error></Error>'),
    ("a page as a vocabulary", "tokenizer.model", as_page),
]


@pytest.fixture
def worker() -> Iterator[HostileWorker]:
    with HostileWorker() as worker:
        yield worker


def test_what_can_not_be_used_is_not_published_and_taken_once_it_is_whole(
    new_world: Callable[..., World], worker: HostileWorker
) -> None:
    world = new_world(waiting_jobs=len(DAMAGES))
    jobs = world.jobs()
    for job, (_, name, content) in zip(jobs, DAMAGES, strict=True):
        worker.files_of(job["external_job_id"])[name] = content
    result, events = world.run(world.harvester(gpu_url=worker.url))

    failed = failures(events)
    published = {
        what for job, (what, _, _) in zip(jobs, DAMAGES, strict=True) if job["id"] not in failed
    }
    assert published == set()
    assert world.artifacts() == {}
    assert world.notifications() == []
    assert not any(failure.permanent for failure in failed.values())
    for job, (_, name, _) in zip(jobs, DAMAGES, strict=True):
        failure = failed[job["id"]]
        assert name in str(failure.details) or "encoding that was not requested" in failure.reason
        assert failure.next_try
        stored = [e.file for e in events if isinstance(e, FileStored) and e.job_id == job["id"]]
        assert name not in stored
    assert not any(path.endswith(WEIGHTS) for path in unknown_objects(world))
    assert result.failed == len(DAMAGES)

    worker.files.clear()
    world.retry_all()
    result, _ = world.run(world.harvester(gpu_url=worker.url))
    assert result.harvested == len(DAMAGES)


def unknown_objects(world: World) -> list[str]:
    """Those in the bucket that are no whole file of an adapter."""
    whole = {hashlib.sha256(content).hexdigest() for content in adapter_files().values()}
    return [path for path, digest in world.objects().items() if digest not in whole]


def test_a_result_without_weights_is_not_published(
    new_world: Callable[..., World], worker: HostileWorker
) -> None:
    world = new_world(waiting_jobs=2)
    only_tokens, half = world.jobs()
    worker.files[only_tokens["external_job_id"]] = {"tokenizer.json": b"{}", CONFIG: b"{}"}
    worker.files[half["external_job_id"]] = {"adapter_model-00001-of-00002.safetensors": weights()}
    _, events = world.run(world.harvester(gpu_url=worker.url))
    failed = failures(events)
    assert "no weights" in failed[only_tokens["id"]].reason
    assert "only a part of the weights" in failed[half["id"]].reason
    assert not any(failure.permanent for failure in failed.values())
    assert world.objects() == {}


@pytest.mark.parametrize(
    "names",
    [
        ["adapter_model.bin", "adapter_config.json"],
        ["m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors"],
        ["pytorch_lora_weights.safetensors"],
        ["pytorch_model.bin"],
        ["adapter.gguf"],
        ["adapter.tar"],
    ],
)
def test_weights_may_have_another_name_than_usual(names: list[str]) -> None:
    require_weights(names)


@pytest.mark.parametrize(
    "names", [["training_args.bin", "optimizer.pt", "rng_state_0.pth"], ["tokenizer.json"], []]
)
def test_other_files_of_a_trainer_are_not_taken_for_weights(names: list[str]) -> None:
    with pytest.raises(DamagedFileError, match="no weights"):
        require_weights(names)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("adapter_model.bin", archive()),
        ("training_args.bin", b"\x80\x02}q\x00."),
        ("merges.txt", b""),
        ("README.md", b"---\nlibrary_name: peft\n---\n<p>text</p>"),
        ("chat_template.jinja", b"{% for message in messages %}"),
        ("added_tokens.json", b"\xef\xbb\xbf{}"),
        ("notes.json", b"[1, 2]"),
        ("report.html", PAGE),
    ],
)
def test_what_is_as_it_should_be_is_taken(name: str, content: bytes) -> None:
    inspect(name, content)


@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_truncated_weights_are_recognised_by_their_header(piece: int) -> None:
    """Long before the last byte: 5 GB of them are not read for it."""
    content = weights(rank=64, width=512)
    inspect(WEIGHTS, content, piece=piece)
    with pytest.raises(DamagedFileError, match="can't be used") as caught:
        inspect(WEIGHTS, content[:2_000], total=len(content) - 1, piece=piece, whole=False)
    assert "cut short" in str(caught.value.details)


def inspect(
    name: str, content: bytes, *, total: int | None = None, piece: int = 64, whole: bool = True
) -> None:
    """Let the file arrive."""
    inspector = Inspector(name)
    with tempfile.TemporaryFile(buffering=0) as file:
        for start in range(0, len(content), piece):
            file.write(content[start : start + piece])
            inspector.check_received(file.fileno(), file.tell(), total or len(content))
        if whole:
            inspector.check(file.fileno(), file.tell())


def test_a_result_that_stays_damaged_is_told_with_its_reason_once_it_is_lost(
    new_world: Callable[..., World], worker: HostileWorker
) -> None:
    world = new_world(waiting_jobs=1)
    (job,) = world.jobs()
    worker.files_of(job["external_job_id"])[WEIGHTS] = b""
    harvester = world.harvester(gpu_url=worker.url)
    world.run(harvester)
    worker.statuses[job["external_job_id"]] = lambda handler: send(
        handler, b'{"error": "request does not exist"}', status=404, kind="application/json"
    )
    told = []
    for _ in range(3):
        if not told:
            world.retry_all()
        told += [e for e in world.run(harvester)[1] if isinstance(e, ResultLost)]
    (lost,) = told
    assert WEIGHTS in str(lost.reason)
    assert [job.state.value for job in world.ledger().jobs()] == ["dead"]
    assert world.artifacts() == {}


def test_a_damage_that_passes_costs_no_cycle(
    new_world: Callable[..., World], worker: HostileWorker
) -> None:
    world = new_world(waiting_jobs=1)
    (job,) = world.jobs()
    pages = [as_page]

    def first_a_page(handler: BaseHTTPRequestHandler) -> None:
        pages.pop()(handler) if pages else send(handler, LARGE)

    worker.files_of(job["external_job_id"])[WEIGHTS] = first_a_page
    result, _ = world.run(world.harvester(gpu_url=worker.url))
    assert result.harvested == 1
    assert not pages


def zipped(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, data in members.items():
            file.writestr(f"archive/{name}.pkl", data)
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("adapter_model.bin", zipped(word=b"document")),
        ("adapter_model.bin", zipped(data=b"")),
        ("adapter_model.bin", b"\x80\x02"),
        ("adapter.zip", b"PK\x05\x06" + bytes(18)),
        ("adapter.tar", b"x"),
        ("adapter.tar", b"text " * 300),
        ("adapter.tar.gz", gzip.compress(bytes(2_000))[:-4]),
        ("adapter.gguf", b"GGUF"),
        (CONFIG, b'{"a": 1}'),
        (CONFIG, b'\xef\xbb\xbf{"r": 4}'),
        (CONFIG, '{"r": 4}'.encode("utf-16")),
        (CONFIG, b'{"r": 4, "x": "' + b"x" * (32 << 20) + b'"}'),
        (CONFIG, b'{"code":"AccessDenied","requestId":"1","hostId":"2"}'),
        ("tokenizer.json", b'{"code":"AccessDenied","requestId":"1","hostId":"2"}'),
        ("vocab.txt", b"error code: 1015"),
        ("tokenizer.model", b"<h1>Sorry</h1>"),
        ("tokenizer.model", b"<center>502</center>"),
        ("tokenizer.model", PAGE.decode().encode("utf-16")),
    ],
    ids=range(18),
)
def test_what_only_has_the_name_of_a_usable_file_is_refused(name: str, content: bytes) -> None:
    with pytest.raises(DamagedFileError):
        inspect(name, content, piece=1 << 20)


@pytest.mark.parametrize(
    "names",
    [
        ["logs.zip"],
        ["bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", "my_optimizer.pt"],
        ["m-1-of-2.safetensors"],
        ["m-000001-of-000002.safetensors"],
        ["m_00001-of-00002.safetensors"],
        ["m-00000-of-00000.safetensors"],
        ["adapter_model.safetensors"],
    ],
)
def test_a_result_that_nobody_can_load_is_refused_by_its_names(names: list[str]) -> None:
    with pytest.raises(DamagedFileError):
        require_weights(names)
