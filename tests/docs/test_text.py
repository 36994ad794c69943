"""What the documents say in passing is true: commands, options, files, modules, tests, links."""

from __future__ import annotations

import argparse
import fnmatch
import functools
import os
import re
import runpy
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lora_tui.cli.grammar import build_parser
from lora_tui.config.load import load_preferences, load_profile
from lora_tui.config.table import KEYS
from lora_tui.errors import ExitCode, UsageError
from tests.docs.documents import ROOT, USER_DOCUMENTS, blocks, inline_code, name

# Options of other programs that the documents speak of.
FOREIGN = {"--require-hashes", "--max-lora-rank", "--enable-lora", "--lora"}
PATH = re.compile(r"(?:[\w.-]+/)*[\w.*-]+(?:\.(?:py|md|tcss|sql|toml|txt|sh|service|timer)|/)")
TREES = ("", "src/lora_tui/", "src/lora_tui/**/", "tests/", "docs/")


@functools.cache
def parser_of_all() -> argparse.ArgumentParser:
    """Made once: each sentence of the documents is read by it."""
    return build_parser()


@functools.cache
def files_of_tests() -> dict[Path, str]:
    """The modules of the tests, without those of packages that npm has installed."""
    found = {}
    for place, inner, names in os.walk(ROOT / "tests"):
        inner[:] = [name for name in inner if name != "node_modules"]
        for file in fnmatch.filter(names, "test_*.py"):
            found[Path(place, file)] = Path(place, file).read_text()
    return found


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from options(inner)


@pytest.mark.parametrize("document", USER_DOCUMENTS, ids=name)
def test_a_command_in_a_sentence_is_one_that_is_taken(document: Path) -> None:
    for code in inline_code(document):
        if not code.startswith("lora-tui ") or set("…<>\\") & set(code) or "COMMAND" in code:
            continue
        refusal = refused(shlex.split(code)[1:])
        # `lora-tui serve-config` names a command, and not all that it needs.
        assert not refusal or "missing" in refusal, code


def refused(words: list[str]) -> str:
    """Why the parser does not take a command line; empty where it does."""
    try:
        parser_of_all().parse_args(words)
    except UsageError as error:
        return str(error)
    except SystemExit:  # --help and --version
        pass
    return ""


@pytest.mark.parametrize("document", USER_DOCUMENTS, ids=name)
def test_an_option_in_a_sentence_is_one_that_exists(document: Path) -> None:
    scripts = " ".join(path.read_text() for path in (ROOT / "scripts").iterdir() if path.is_file())
    ours = set(options(parser_of_all())) | set(re.findall(r"--[a-z-]+", scripts)) | FOREIGN
    named = {
        code.split()[0].split("=")[0] for code in inline_code(document) if code.startswith("--")
    }
    assert named - ours == set()


@pytest.mark.parametrize("document", USER_DOCUMENTS, ids=name)
def test_a_file_that_is_named_exists(document: Path) -> None:
    missing = [
        code
        for code in inline_code(document)
        if ("/" in code or code.endswith(".py"))
        and PATH.fullmatch(code)
        and not code.startswith(("/", "~", "./", "../"))
        and not any(list(ROOT.glob(f"{tree}{code}".rstrip("/"))) for tree in TREES)
    ]
    assert missing == []


@pytest.mark.parametrize("document", USER_DOCUMENTS, ids=name)
def test_a_test_that_is_named_exists(document: Path) -> None:
    defined = "\n".join(files_of_tests().values())
    named = re.findall(r"\btest_\w+", " ".join(inline_code(document)))
    modules = {path.stem for path in files_of_tests()}
    functions = [test for test in named if test not in modules]
    assert [test for test in functions if f"def {test}" not in defined] == []


def test_every_promise_of_security_names_its_test() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    promises = re.findall(r"^\| promise \| test \|\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = "".join(promises).splitlines()
    assert len(rows) > 20
    assert [row for row in rows if not re.search(r"\| `test_\w+`", row)] == []


def test_troubleshooting_knows_every_exit_code_and_quotes_what_is_really_said() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    headings = re.findall(r"^### ([\d, ]+):", text, re.MULTILINE)
    explained = {int(code) for heading in headings for code in heading.split(", ")}
    assert explained == set(ExitCode) - {ExitCode.OK}
    said = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    quoted = re.findall(r'^\| "([^"]+)" \|', text, re.MULTILINE)
    assert len(quoted) > 15
    pieces = [piece.strip() for quote in quoted for piece in quote.split("…")]
    assert [piece for piece in pieces if piece not in said] == []


def test_every_setting_is_documented() -> None:
    documented = " ".join(inline_code(ROOT / "docs" / "configuration.md")).split()
    sources = "\n".join(path.read_text() for path in (ROOT / "src" / "lora_tui").rglob("*.py"))
    variables = re.findall(r'"(LORA_TUI_[A-Z_]+|SUPABASE_[A-Z_]+|GPU_CLUSTER_[A-Z_]+)"', sources)
    assert variables
    assert ({*KEYS, *variables}) - {word.rstrip(",:") for word in documented} == set()


def test_the_configuration_files_shown_are_ones_that_work(home: Path) -> None:
    home.mkdir()
    shown = [b.text for b in blocks(ROOT / "docs" / "configuration.md") if b.language == "toml"]
    assert len(shown) > 1
    (home / "config.toml").write_text("\n".join(shown))
    assert load_profile(name="work").url == "https://two.supabase.co"
    assert load_preferences(home / "config.toml").theme == "dark"


def test_the_architecture_names_every_part_of_the_program() -> None:
    text = " ".join(inline_code(ROOT / "docs" / "architecture.md"))
    root = ROOT / "src" / "lora_tui"
    files = {file.relative_to(root).parts for file in root.rglob("*.py")}
    parts = {
        parts[0] if len(parts) == 1 else f"{parts[0]}/"
        for parts in files
        if not parts[0].startswith("__")
    }
    assert [part for part in parts if part not in text.replace(",", " ").split()] == []


@pytest.mark.parametrize("document", USER_DOCUMENTS, ids=name)
def test_a_link_to_a_heading_finds_it(document: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", document.read_text()):
        text = (document.parent / target if target else document).read_text()
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        ids = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in ids, f"{target}#{anchor}"


def test_a_heading_that_the_program_cites_exists() -> None:
    cited = [
        (path.name, page, " ".join(heading.split()))
        for path in (ROOT / "src").rglob("*.py")
        for page, heading in re.findall(r'(docs/[\w-]+\.md), "([^"]+)"', path.read_text())
    ]
    assert cited
    for source, page, heading in cited:
        headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
        assert heading in headings, source


def test_every_document_is_reached_from_the_readme() -> None:
    links = re.compile(r"\]\(([^)#\s]+\.md)")
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        if document not in reached:
            reached.add(document)
            found = links.findall(document.read_text())
            waiting += [(document.parent / target).resolve() for target in found]
    assert set(USER_DOCUMENTS) - reached == set()


@pytest.mark.parametrize("kind", ["command", "key", "settings", "column"])
def test_the_references_are_those_of_the_program(kind: str) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / f"{kind}_reference.py"))
    assert script["DOCUMENT"].read_text() == script["reference"](), "run `make reference`"


def test_no_file_names_a_machine_or_a_registry() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    files = listed.stdout.split("\n") if listed.returncode == 0 else []
    paths = [ROOT / file for file in files if file] or [*ROOT.glob("src/**/*.py"), *USER_DOCUMENTS]
    forbidden = re.compile(
        "|".join(
            [
                "pyp" + "i\\.org",
                "npm" + "js",
                r"(?<![\w}])/ho" + r"me/(?!you\b|somebody\b)\w",
                "/wo" + "rk/",
            ]
        )
    )
    found = [
        str(path.relative_to(ROOT))
        for path in paths
        if path.is_file()
        and path.suffix != ".svg"
        and forbidden.search(path.read_text(errors="ignore"))
    ]
    assert found == []


def test_each_function_of_the_tour_is_in_the_file_that_it_names() -> None:
    text = " ".join((ROOT / "docs" / "tour.md").read_text().split())
    calls = re.findall(r"`(\w+)` \(`([\w/]+\.py)`\)", text)
    assert len(calls) > 30
    sources = {file: (ROOT / "src" / "lora_tui" / file).read_text() for _, file in calls}
    missing = [
        (called, file)
        for called, file in calls
        if not re.search(rf"^ *(?:async )?(?:def|class) {called}\b", sources[file], re.MULTILINE)
    ]
    assert missing == []
