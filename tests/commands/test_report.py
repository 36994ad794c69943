"""`report`: a model as a document that loads nothing, runs nothing and hides nothing."""

from __future__ import annotations

import base64
import dataclasses
import re
import stat
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import httpx

from lora_tui.domain import ArtifactFile, CurvePoint, Model
from lora_tui.reports.model_card import ModelCard, curve_svg, to_html, to_markdown
from lora_tui.sandbox import Sandbox
from tests.commands.models import whole_model
from tests.conftest import Run

HOSTILE = "<script>alert(1)</script><img src=x onerror=y> [a](javascript:b) |\n# `c` ![d](//e)"


class Tags(HTMLParser):
    """The elements of a page, and the attributes that they have."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes.update(name for name, _ in attrs)


def hostile_card() -> ModelCard:
    model = dataclasses.replace(
        Model.from_row({"id": "x", "name": "n"}),
        name=HOSTILE,
        files=(ArtifactFile(HOSTILE, "a/b/c", 12, "0" * 64),),
    )
    return ModelCard(
        model=model,
        metadata=[("Base model", HOSTILE), (HOSTILE, "value")],
        opinion=[HOSTILE],
        curve=[CurvePoint(1, 2.0, None), CurvePoint(2, 1.0, 1.5)],
        snippets=[("vllm", "``` breaks\n````out\n")],
    )


def test_a_device_is_written_to_and_never_replaced(
    configured: Sandbox, run: Run, tmp_path: Path
) -> None:
    run("sync")
    model = whole_model(run)
    device = tmp_path / "device"
    device.symlink_to("/dev/full")
    ran = run("report", model, "--output", str(device))
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "the disk is full" in ran.err
    assert device.is_symlink()
    assert stat.S_ISCHR(device.stat().st_mode)
    real, link = tmp_path / "real.md", tmp_path / "link.md"
    link.symlink_to(real)
    assert run("report", model, "--output", str(link)).code == 0
    assert link.is_symlink()
    assert real.read_text() == run("report", model).out


def test_a_page_has_curve_metadata_files_and_snippets(
    configured: Sandbox, run: Run, tmp_path: Path
) -> None:
    run("sync")
    model = whole_model(run)
    shown = run("show", model, "--json").data
    file = tmp_path / "model.html"
    before = len(configured.requests())
    ran = run("report", model, "--output", str(file))
    assert (ran.code, ran.out) == (0, "")
    page = file.read_text()
    assert shown["name"] in page
    assert {"svg", "table", "pre", "ul"} <= Tags(page).names
    assert "Second opinion: " in page
    for described in shown["configuration"]["files"].values():
        assert described["sha256"] in page
    assert "vllm serve" in page
    assert len(configured.requests()) == before
    assert [path.name for path in tmp_path.glob("*model*")] == ["model.html"]


def test_markdown_goes_to_stdout_with_the_curve_in_it(configured: Sandbox, run: Run) -> None:
    run("sync")
    ran = run("report", whole_model(run))
    assert ran.out.startswith("# ")
    data = re.search(r"\(data:image/svg\+xml;base64,([^)]+)\)", ran.out)
    assert data is not None
    assert ElementTree.fromstring(base64.b64decode(data[1])).tag.endswith("svg")


def test_hostile_text_is_escaped_in_html() -> None:
    tags = Tags(to_html(hostile_card()))
    assert not {"script", "img", "a", "iframe", "link"} & tags.names
    assert not [name for name in tags.attributes if name.startswith("on") or name == "src"]
    assert "&lt;script&gt;" in to_html(hostile_card())


def test_hostile_text_is_escaped_in_markdown() -> None:
    text = to_markdown(hostile_card())
    prose = text.partition("## Serving")[0]
    assert not re.search(r"(?<!\\)<", prose)
    assert re.findall(r"(?<!\\)\]\(", prose) == ["]("]  # our own picture
    assert [line for line in prose.splitlines() if line.startswith("#")] == [
        prose.splitlines()[0], "## Loss", "## Metadata", "## Files",
    ]  # fmt: skip
    assert "\n`````\n``` breaks\n````out\n`````\n" in text


def test_a_curve_of_one_value_is_drawn_and_one_point_is_none() -> None:
    flat = curve_svg([CurvePoint(5, 1.0), CurvePoint(5, 1.0)])
    assert flat is not None
    assert "nan" not in flat
    assert curve_svg([CurvePoint(5, 1.0)]) is None


def test_a_file_that_can_not_be_written_or_found_is_one_line(
    configured: Sandbox, run: Run, tmp_path: Path
) -> None:
    run("sync")
    model = whole_model(run)
    ran = run("report", model, "--output", str(tmp_path / "none" / "x.md"))
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert run("report", "nosuchmodel").code == 3


def test_json_lines_are_the_rows_of_the_list(configured: Sandbox, run: Run) -> None:
    import json

    run("sync")
    ran = run("list", "--jsonl", "--sort", "name")
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert rows == run("list", "--json", "--sort", "name").data["models"]
    assert run("list", "--jsonl", "--csv").code == 2


def test_a_name_that_a_spreadsheet_would_run_is_text_in_csv(configured: Sandbox, run: Run) -> None:
    run("sync")
    model = whole_model(run)
    httpx.patch(
        f"{configured.url}/rest/v1/model_artifacts?id=eq.{model}",
        headers={"apikey": configured.service_key},
        json={"name": '=HYPERLINK("http://x")'},
    ).raise_for_status()
    run("sync")
    assert "\"'=HYPERLINK(" in run("list", "--csv").out
