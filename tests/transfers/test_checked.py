"""What a file was compared with is said as it is: sha256, ETag, structure, or its length alone."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import httpx
import pytest

from lora_tui.cache.transfer_queue import Checked, TransferState
from lora_tui.errors import IntegrityError
from lora_tui.library.contents import FileState, examine
from lora_tui.sandbox import Sandbox
from lora_tui.transfers.verify import check_structure
from lora_tui.widgets.file_list import FilesState, file_lines
from lora_tui.widgets.transfer_line import state_span, transfer_lines
from tests.conftest import Run
from tests.transfers.conftest import MakeWorld
from tests.transfers.file_server import FileServer, World

HTML = b"<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>"
ERROR = b'{"statusCode":"404","error":"not_found","message":"Object not found"}'
XML = b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>'
SAFETENSORS = (2).to_bytes(8, "little") + b"{}"


def zipped(content: bytes = b"x") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), content)
    return file.getvalue()


def md5(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


@pytest.mark.parametrize(
    ("name", "content", "etag", "checked"),
    [
        ("a.safetensors", SAFETENSORS, '"one"', Checked.STRUCTURE),
        ("a.safetensors", SAFETENSORS, md5(SAFETENSORS), Checked.ETAG),
        ("a.safetensors", SAFETENSORS, f'{md5(SAFETENSORS)[:-1]}-2"', Checked.STRUCTURE),
        ("a.json", b"{}", None, Checked.STRUCTURE),
        ("training_args.bin", zipped(), '"one"', Checked.STRUCTURE),
        ("training_args.bin", b"\x80\x02}.", None, Checked.STRUCTURE),
        ("vocab.txt", b"a\nb\n", '"one"', Checked.LENGTH),
        ("weights.bin", b"\x00\x01\x02\xff", '"one"', Checked.LENGTH),
        ("vocab.txt", b"a\nb\n", f"W/{md5(b'a')}", Checked.LENGTH),
        ("vocab.txt", b"a\nb\n", md5(b"a\nb\n"), Checked.ETAG),
    ],
)
def test_without_a_manifest_the_best_available_check_is_made_and_shown(
    world: World, server: FileServer, name: str, content: bytes, etag: str, checked: Checked
) -> None:
    server.behaviour.content, server.behaviour.etag = content, etag
    made = World(world.home, server, name=name)
    assert made.download().checked == {name: checked}
    record = json.loads((made.directory / "lora-tui.json").read_text())
    assert record["files"][name]["checked"] == checked.value
    assert made.row().checked is checked
    assert ("verified" in state_span(made.row())[0]) is checked.proven
    assert ("no checksum" in str(transfer_lines(made.row(), 100))) is not checked.proven
    assert made.download(etag_of=lambda _: None).checked == {name: checked}, "already here"


def test_files_are_compared_with_the_manifest_if_there_is_one(make_world: MakeWorld) -> None:
    world = make_world()
    assert world.download().checked == {world.name: Checked.SHA256}


def test_bytes_that_are_not_those_of_the_etag_are_refused(world: World, server: FileServer) -> None:
    server.behaviour.etag = md5(b"what was stored")
    with pytest.raises(IntegrityError, match="checksum"):
        world.download()
    assert list(world.directory.iterdir()) == []


def test_bytes_that_the_storage_knows_are_taken_whatever_etag_the_response_has(
    world: World, server: FileServer
) -> None:
    """As of @supabase/lite, whose responses have an ETag of another digest."""
    server.behaviour.etag = md5(b"another digest")
    kept = md5(server.behaviour.content)
    assert world.download(etag_of=lambda _: kept).checked == {world.name: Checked.ETAG}


@pytest.mark.parametrize("body", [HTML, ERROR, XML, b"\xef\xbb\xbf \n" + HTML, HTML.lower()])
@pytest.mark.parametrize(
    "name",
    [
        "training_args.bin",
        "a.pt",
        "x.bin",
        "README.md",
        "a.model",
        "a.safetensors",
        "a.json",
        "none",
    ],
)
def test_an_error_page_is_refused_for_every_kind_of_file(
    tmp_path: Path, name: str, body: bytes
) -> None:
    (tmp_path / name).write_bytes(body)
    with pytest.raises(IntegrityError):
        check_structure(tmp_path / name, name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("training_args.bin", b""),
        ("training_args.bin", b"upstream connect error"),
        ("training_args.bin", bytes(100)),
        ("optimizer.pt", zipped(b"y" * 500)[:-30]),
        ("optimizer.pt", zipped(b"y" * 500)[:200]),
        ("arrays.npz", b"PK no zip"),
        ("TRAINING_ARGS.BIN", b"text"),
    ],
)
def test_what_pytorch_did_not_save_is_not_taken_for_its_file(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(IntegrityError):
        check_structure(tmp_path / name, name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("page.html", HTML),
        ("drawing.svg", XML),
        ("README.md", b'<div align="center">\n\n# Adapter\n</div>'),
        ("added_tokens.json", b'{"error": 5, "<pad>": 6}'),
        ("added_tokens.json", b'{"error": 5, "message": 6}'),
        ("status.json", b'{"status":"completed","message":"training done"}'),
        ("README.md", b"<!-- a note -->\n<center>\n\n# Adapter\n</center>"),
        ("chat_template.jinja", b"<|im_start|>{{ message }}"),
        ("vocab.txt", b"<s>\n</s>\n<unk>\n"),
        ("old.pkl", b"(dp0\nS'a'\np1\nI1\ns."),
        ("weights.pt", zipped()),
    ],
)
def test_files_that_resemble_an_error_are_kept(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    check_structure(tmp_path / name, name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("status.json", b'{"status":"completed","message":"training done"}'),
        ("error.json", ERROR),
        ("README.md", HTML),
        ("samples.json", b'{"a":1}\n{"a":2}\n'),
        ("training_args.bin", b"text"),
    ],
)
def test_a_correct_checksum_skips_the_other_checks(
    server: FileServer, make_world: MakeWorld, name: str, content: bytes
) -> None:
    server.behaviour.content = content
    world = make_world(name=name)
    assert world.download().checked == {name: Checked.SHA256}
    found = examine(world.directory, thorough=True)
    assert [file.state for file in found.files] == [FileState.OK]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b'{"statusCode":"404","error":"x","message":"y","resource":"a/b","more":[1]}'),
        ("a.json", b'{"message":"no Route matched with those values","request_id":"6f"}'),
        ("a.json", b'{"type":"about:blank","title":"Not Found","status":404,"detail":"gone"}'),
        ("a.json", b'{"type":"about:blank","title":"Not Found","status":404}'),
        ("a.json", b'{"status":"error","message":"no such file"}'),
        ("vocab.txt", b'{"statusCode":404,"message":"gone","path":"/x"}'),
        ("adapter_config.json", b"null"),
        ("adapter_config.json", b'"error"'),
        ("adapter_config.json", b"[]"),
        ("x.json", b" null"),
        ("x.txt", b"<center><h1>502 Bad Gateway</h1></center>"),
        ("README.md", b"<center><h1>502 Bad Gateway</h1></center>"),
        ("README.md", b"<title>Login</title>"),
        ("x.bin", b"<title>Login</title>"),
        ("x.bin", b"\n<div class=x>Sign in</div>"),
        ("x.txt", b"<script>location='/login'</script>"),
        ("x.txt", b"<meta http-equiv=refresh>"),
        ("x.txt", b"<!-- " + b"x" * 5000 + b" -->\n<!-- y --><html>"),
        ("x.txt", b"<!-- " + b"x" * 100_000 + b" --><html>"),
        ("x.txt", b"\xff\xfe" + HTML.decode().encode("utf-16-le")),
        ("x.txt", HTML.decode().encode("utf-16-be")),
        ("x.txt", b"\xfe\xff" + ERROR.decode().encode("utf-16-be")),
    ],
    ids=range(22),
)
def test_error_pages_of_servers_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(IntegrityError):
        check_structure(tmp_path / name, name)


def without_manifest(sandbox: Sandbox, model_id: str) -> None:
    with httpx.Client(headers={"apikey": sandbox.service_key}) as client:
        url = f"{sandbox.url}/rest/v1/model_artifacts"
        query = {"id": f"eq.{model_id}"}
        client.patch(url, params=query, json={"configuration": {}}).raise_for_status()


def test_download_library_and_verify_say_what_was_compared(
    configured: Sandbox, run: Run, tmp_path: Path
) -> None:
    run("sync")
    models = run("list", "--json", "--sort", "quality").data["models"]
    model = next(model["id"] for model in models if len(model["artifacts"]) == 6)
    ran = run("download", model, "--to", str(tmp_path / "x"))
    assert ran.err.count("verified by its sha256") == 6
    ran = run("verify", str(tmp_path / "x"), "--json")
    assert {file["checked"] for file in ran.data["adapters"][0]["files"]} == {"sha256"}
    without_manifest(configured, model)
    run("sync")
    ran = run("download", model, "--to", str(tmp_path / "y"))
    assert "sha256" not in ran.err
    assert ran.err.count("verified by the MD5 in its ETag") == 6
    assert run("library", "--json").data["adapters"][0]["checked"] == "etag-md5"
    ran = run("verify", str(tmp_path / "y"))
    assert ran.code == 0
    assert "when its MD5 matched the ETag" in ran.out


def test_verify_names_files_that_were_not_downloaded_and_extra_files(
    configured: Sandbox, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("sync")
    models = run("list", "--json", "--sort", "quality").data["models"]
    model = next(model for model in models if len(model["artifacts"]) == 6)
    run("download", model["id"], "adapter_config.json", "--to", str(tmp_path / "x"))
    (tmp_path / "x" / "notes.txt").write_text("mine")
    monkeypatch.setenv("LORA_TUI_HOME", str(tmp_path / "elsewhere"))  # the record is enough
    ran = run("verify", str(tmp_path / "x"))
    assert ran.code == 7
    for name in model["artifacts"]:
        state = "ok" if name == "adapter_config.json" else "missing"
        assert f"  {state:<10} {name}" in ran.out
    assert "  extra      notes.txt" in ran.out
    (tmp_path / "x" / "adapter_config.json").write_bytes(b"{}")
    ran = run("verify", str(tmp_path / "x"), "--json")
    assert ran.code == 6
    assert ran.data["ok"] is False


def test_a_complete_model_beside_a_file_of_the_user_is_ok(make_world: MakeWorld, run: Run) -> None:
    world = make_world()
    world.download()
    (world.directory / "notes.txt").write_text("mine")
    ran = run("verify", str(world.directory), "--json")
    assert ran.code == 0
    assert ran.data["ok"] is True
    assert world.row().state is TransferState.DONE


def test_a_model_page_says_which_files_are_of_an_earlier_version(make_world: MakeWorld) -> None:
    world = make_world()
    world.download()
    shown = FilesState(world.model().files, (world.row(),))
    assert "verified" in str(file_lines(shown, 80))
    world.sha256 = "0" * 64
    world.put_model()
    shown = FilesState(world.model().files, (world.row(),))
    assert "outdated" in str(file_lines(shown, 80))
    assert "verified" not in str(file_lines(shown, 80))
