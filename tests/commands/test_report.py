"""`report`: a model as a document that loads nothing, runs nothing and hides nothing."""

from __future__ import annotations

import dataclasses
import re
import stat
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import httpx

from lora_tui.curves.series import Logged, from_curve
from lora_tui.domain import ArtifactFile, CurvePoint, Model
from lora_tui.reports.curve_picture import curve_svg
from lora_tui.reports.model_card import ModelCard, to_html
from lora_tui.reports.model_markdown import to_markdown
from lora_tui.reports.run_losses import block_curve, run_losses
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


def outside_of_code(text: str) -> tuple[str, str]:
    """What is rendered, and what is shown literally: blocks and spans of code."""
    code: list[str] = []

    def keep(found: re.Match[str]) -> str:
        code.append(found["inner"])
        return ""

    blocks = re.compile(r"^(?P<fence>`{3,})\n(?P<inner>.*?)^(?P=fence)$", re.DOTALL | re.MULTILINE)
    prose = re.sub(r"(?<!\\)`(?P<inner>[^`\n]*)`", keep, blocks.sub(keep, text))
    return prose, "\n".join(code)


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


def test_markdown_has_what_github_and_slack_both_show(configured: Sandbox, run: Run) -> None:
    run("sync")
    model = whole_model(run)
    text = run("report", model, "--markdown").out
    assert text == run("report", model).out
    assert re.search(r"\ntraining    [▁▂▃▄▅▆▇█]{20,}\n +first  +[\d.]+ at step", text)
    prose, code = outside_of_code(text)
    assert not re.search(r"<|\||!\[|\*\*", prose)  # no HTML, tables, pictures or bold text
    for described in run("show", model, "--json").data["configuration"]["files"].values():
        assert f"sha256 {described['sha256']}" in code
    assert "vllm serve" in code


def test_the_picture_is_a_file_of_its_own_and_nothing_is_overwritten(
    configured: Sandbox, run: Run, tmp_path: Path
) -> None:
    run("sync")
    models = [model["id"] for model in run("list", "--json").data["models"]]
    report, picture = tmp_path / "r.md", tmp_path / "a picture.svg"
    written = ("--output", str(report), "--picture", str(picture))
    assert run("report", whole_model(run), *written).code == 0
    assert ElementTree.fromstring(picture.read_text()).tag.endswith("svg")
    assert "(a%20picture.svg)" in report.read_text()
    before = report.read_bytes(), picture.read_bytes()
    refused = run("report", *models, *written)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "--force" in refused.err
    assert (report.read_bytes(), picture.read_bytes()) == before
    assert run("report", *models, *written, "--force").code == 0
    assert "# Comparison of" in report.read_text()
    assert ElementTree.fromstring(picture.read_text()).tag.endswith("svg")
    for option, message in (("--picture=x.png", "writes SVG"), ("--html", "as Markdown only")):
        refused = run("report", *models, option)
        assert refused.code == 2
        assert message in refused.err


def test_a_curve_of_blocks_shows_where_losses_rise_and_where_they_are_no_numbers() -> None:
    points = [CurvePoint(n, 3.0 - n / 4, 1.0 + abs(n - 4)) for n in range(8)]
    losses = run_losses(
        [*from_curve(points, bad_steps=[8, 9, 10]), Logged(11.0, 0.5, None), Logged(12, None, 9.9)]
    )
    assert losses.steps == (0, 12)
    training = block_curve(
        losses.training, (0, 12), (0.5, 3.0), bad_steps=losses.bad_steps, width=13
    )
    assert training[0] == "█"
    assert training[8:11] == "   "
    assert training[11:] == "▁"
    validation = block_curve(losses.validation, (0, 7), (1.0, 5.0), width=8)
    assert (validation[0], validation[4]) == ("█", "▁")
    assert validation[7] > validation[4]


def test_hostile_text_is_escaped_in_html() -> None:
    tags = Tags(to_html(hostile_card()))
    assert not {"script", "img", "a", "iframe", "link"} & tags.names
    assert not [name for name in tags.attributes if name.startswith("on") or name == "src"]
    assert "&lt;script&gt;" in to_html(hostile_card())


def test_hostile_text_is_only_text_in_markdown() -> None:
    text = to_markdown(hostile_card())
    prose, code = outside_of_code(text)
    assert not re.search(r"(?<!\\)[<`]|(?<!\\)\]\(", prose)
    assert [line for line in prose.splitlines() if line.startswith("#")] == [
        "# ", "## Second opinion", "## Facts and settings", "## Files",
        "## How to load it",
    ]  # fmt: skip
    assert HOSTILE.replace("\n", " ") in code
    assert "\n`````\n``` breaks\n````out\n`````\n" in text
    called = "<!channel> <@U1> <https://x.example|y> ```"
    card = dataclasses.replace(hostile_card(), opinion=[called], metadata=[(called, called)])
    assert not re.search("<[!@h]", to_markdown(card))


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


def test_a_report_and_its_picture_never_share_a_file(
    signed_in: Path, run: Run, tmp_path: Path
) -> None:
    same = str(tmp_path / "one.svg")
    for words, told in (
        (("--output", same, "--picture", same), "name the same file"),
        (("--output", "-"), "not -"),
        (("--output", ""), "names no file"),
        (("--output", f"{tmp_path}"), "names a directory"),
        (("--picture", f"{tmp_path}/new/"), "names a directory"),
    ):
        ran = run("report", "any", *words)
        assert (ran.code, ran.out) == (2, "")
        assert told in ran.err
    assert not Path(same).exists()


def test_a_report_without_its_picture_and_a_picture_without_its_report_are_not_left(
    configured: Sandbox, run: Run, tmp_path: Path
) -> None:
    run("sync")
    model = run("list", "--json").data["models"][0]["id"]
    (tmp_path / "file").touch()
    good, bad = tmp_path / "good", tmp_path / "file" / "bad"
    for output, picture in ((f"{good}.md", f"{bad}.svg"), (f"{bad}.md", f"{good}.svg")):
        ran = run("report", model, "--output", output, "--picture", picture)
        assert ran.code not in (0, 2)
        assert "can't be written" in ran.err
        assert [path.name for path in tmp_path.glob("good*")] == []
