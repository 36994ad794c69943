"""Promises about the repository itself: locks, versions, links, and what a quick command loads."""

from __future__ import annotations

import ast
import base64
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import lora_tui
from lora_tui.account.sessions import cache_owner, save_session, session_of_token
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.models import put_models
from lora_tui.cli.run import main
from lora_tui.config.load import load_profile
from lora_tui.config.paths import find_paths
from lora_tui.secret import Secret
from tests.private_names import private_names_in

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
NODE_LOCK = ROOT / "tests/backends/lite/package-lock.json"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

# A requirement as the locks write it: name, exact version, perhaps a marker, then its hashes.
PIN = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>[^\s;]+)(?: ; [^\\]+)?(?: --hash=sha256:[0-9a-f]{64})+"
)
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")


def requirements_of(lock: Path) -> Iterator[str]:
    """The lock's requirements, each on one line, without comments."""
    joined = re.sub(r"\s*\\\n\s*", " ", lock.read_text())
    return (line for line in joined.splitlines() if line and not line.startswith("#"))


def versions_in(lock: Path) -> dict[str, str]:
    pins = [PIN.fullmatch(line) for line in requirements_of(lock)]
    return {pin["name"]: pin["version"] for pin in pins if pin}


def project() -> dict[str, object]:
    metadata: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return metadata


def test_there_is_a_lock_for_each_purpose() -> None:
    assert [lock.name for lock in LOCKS] == [
        "build.txt",
        "demo.txt",
        "dev.txt",
        "real.txt",
        "runtime.txt",
        "vllm.txt",
    ]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_requirement_is_pinned_to_a_version_with_hashes(lock: Path) -> None:
    requirements = list(requirements_of(lock))
    assert requirements
    assert [line for line in requirements if not PIN.fullmatch(line)] == []


@pytest.mark.parametrize("lock", [*LOCKS, NODE_LOCK], ids=lambda lock: lock.name)
def test_locks_name_no_registry_so_that_mirrors_work(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert "--index-url" not in text
    assert "--find-links" not in text


def test_the_locks_agree_on_every_version() -> None:
    everything = versions_in(ROOT / "requirements/dev.txt")
    for lock in LOCKS:
        if lock.name == "vllm.txt":
            continue  # a server of its own, which pins versions that it needs
        shared = {n: v for n, v in versions_in(lock).items() if n in everything}
        assert shared == {name: everything[name] for name in shared}, lock.name


def test_the_locks_cover_what_pyproject_asks_for() -> None:
    metadata = project()
    extras = metadata["optional-dependencies"]
    assert isinstance(extras, dict)
    for lock, wanted in {
        "runtime.txt": metadata["dependencies"],
        "demo.txt": [*metadata["dependencies"], *extras["demo"]],  # type: ignore[misc]
        "dev.txt": [*metadata["dependencies"], *extras["demo"], *extras["dev"]],  # type: ignore[misc]
    }.items():
        names = {re.split(r"[<>=!~\[ ]", line)[0] for line in wanted} - {"lora-tui"}  # type: ignore[attr-defined]
        assert names - set(versions_in(ROOT / "requirements" / lock)) == set(), lock


def test_node_packages_are_pinned_to_a_version_with_an_integrity_hash() -> None:
    packages = json.loads(NODE_LOCK.read_text())["packages"]
    installed = {path: entry for path, entry in packages.items() if path}
    assert installed
    for path, entry in installed.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+\S*", entry["version"]), path
        assert entry["integrity"].startswith("sha512-"), path
    manifest = json.loads((NODE_LOCK.parent / "package.json").read_text())
    for version in manifest["dependencies"].values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)


def test_the_version_is_defined_once_and_printed_by_the_program(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert project()["dynamic"] == ["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", lora_tui.__version__)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"lora-tui {lora_tui.__version__}\n"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_inside_the_documentation_lead_somewhere(document: Path) -> None:
    targets = [match["target"] for match in LINK.finditer(document.read_text())]
    local = [target.split("#")[0] for target in targets if "://" not in target]
    assert [t for t in local if t and not (document.parent / t).exists()] == []


def test_the_documentation_names_only_targets_that_the_makefile_has() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", document.read_text(), re.M))
        assert {name for pair in named for name in pair if name} - targets == set(), document.name
    assert {"demo", "test", "lint", "types", "bench", "clean"} <= targets


def test_an_installed_copy_carries_the_migration_the_styles_and_the_license(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / "src/lora_tui"
    styles = {str(file.relative_to(package.parent)) for file in package.rglob("*.tcss")}
    migrations = {
        f"lora_tui/migrations/{file.name}" for file in (ROOT / "supabase/migrations").glob("*.sql")
    }
    assert migrations
    scripts = {f"lora_tui/cli/completions/lora-tui.{shell}" for shell in ("bash", "zsh", "fish")}
    assert (styles | migrations | scripts | {"lora_tui/py.typed"}) - inside == set()
    assert any(name.endswith("licenses/LICENSE") for name in inside)


def test_no_pattern_needs_what_an_early_python_3_11_gets_wrong() -> None:
    """CPython before 3.11.5, as in Debian 12, misreads possessive quantifiers and atomic groups."""
    possessive = re.compile(r"(?<!\\)(?:[*+?]\+|\d\}\+|\(\?>)")
    list_of_signs = "()*+,;=:@"
    source = Path(lora_tui.__file__).parent
    found = [
        f"{path.relative_to(source)}:{number}: {line.strip()}"
        for path in sorted(source.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if possessive.search(line.replace(list_of_signs, ""))
    ]
    assert found == []


def test_each_exception_from_the_security_rules_has_a_reason() -> None:
    bare = re.compile(r"# noqa(?!: )|# noqa: [^-\n]*\bS\d+(?![^\n]* - )")
    sources = (ROOT / "src").rglob("*.py")
    assert [str(path) for path in sources if bare.search(path.read_text())] == []
    assert '"S"' in (ROOT / "pyproject.toml").read_text()


PACKAGE = ROOT / "src/lora_tui"
MODULES = sorted(PACKAGE.rglob("*.py"))
PACKAGES = sorted(path.parent for path in PACKAGE.rglob("__init__.py"))


def test_every_package_and_module_of_the_root_has_a_layer() -> None:
    """Import-linter checks only what a layer names (`make lint`)."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [layers] = [c["layers"] for c in contracts["contracts"] if c["id"] == "layers"]
    named = {name.split(".")[1] for layer in layers for name in re.findall(r"[\w.]+", layer)}
    there = {
        path.stem
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert there - {"__init__"} - named == set()


def test_the_root_of_the_package_has_at_most_sixteen_modules() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 16


def test_no_test_uses_a_private_name_of_the_program() -> None:
    found = {
        str(path.relative_to(ROOT)): names
        for tree in ("tests", "benchmarks", "scripts")
        for path in sorted((ROOT / tree).rglob("*.py"))
        if "node_modules" not in path.parts and (names := sorted(private_names_in(path)))
    }
    assert found == {}


def test_no_module_is_longer_than_five_hundred_lines() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in MODULES}
    assert [str(path) for path, length in lengths.items() if length > 500] == []
    assert lengths[PACKAGE / "sync.py"] <= 400


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_every_package_says_what_it_is_for_and_what_it_may_import(package: Path) -> None:
    told = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    assert re.match(r"[A-Za-z][^.]{10,}", told)
    assert package == PACKAGE or "import" in told.lower(), "say in one sentence what it may import"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_begins_with_a_sentence_about_itself(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text()))


LIST_LOADS = {
    *("__future__", "_locale", "errno", "locale"),  # argparse's own, once it reads a command line
    *("binascii", "json", "json.decoder", "json.encoder", "json.scanner", "_json"),  # the session
    *("_sha2", "_sha256", "unicodedata"),  # names of files, widths of names
    *("gc", "contextlib", "importlib", "importlib._bootstrap", "importlib._bootstrap_external"),
    *("pathlib", "fnmatch", "ntpath", "urllib", "urllib.parse", "ipaddress"),
    *("typing", "_typing", "typing.io", "typing.re"),
    *("tomllib", "tomllib._parser", "tomllib._re", "tomllib._types", "string", "_string"),
    "lora_tui",
    *(f"lora_tui.account{name}" for name in ("", ".tokens", ".keyring_store", ".sessions")),
    *(f"lora_tui.cli{name}" for name in ("", ".call", ".command_table", ".grammar")),
    *("lora_tui.cli.file_options", "lora_tui.cli.options", "lora_tui.cli.run"),
    *("lora_tui.cli.command", "lora_tui.cli.keep_commands", "lora_tui.cli.mark_commands"),
    "lora_tui.cli.server_commands",
    "lora_tui.cli.load_commands",
    *(f"lora_tui.commands{name}" for name in ("", ".context", ".list", ".output", ".table")),
    *(f"lora_tui.config{name}" for name in ("", ".addresses", ".kinds", ".load", ".paths")),
    "lora_tui.config.setting",
    "lora_tui.config.table",
    "lora_tui.config.text_file",
    *(f"lora_tui.cache{name}" for name in ("", ".changes", ".connection", ".facets")),
    *(f"lora_tui.cache.{name}" for name in ("metadata", "search")),
    *(f"lora_tui.cache.{name}" for name in ("keyset", "model_list", "model_query", "models")),
    *("lora_tui.cache.schema", "lora_tui.cache.sums"),
    *(f"lora_tui.{name}" for name in ("clock", "errors", "files", "formats")),
    *(f"lora_tui.{name}" for name in ("json_values", "processes", "secret", "sqlite_file", "text")),
}
"""All that `list` may load beyond `import sqlite3, argparse`; each module delays the output."""

LIST_MODELS = """
import sys
from lora_tui.cli.run import main
try:
    code = main(sys.argv[1:])
except SystemExit as ending:
    code = ending.code
modules = sorted(sys.modules)
import json
print(json.dumps({"code": code or 0, "modules": modules}), file=sys.stderr)
"""


def access_token_of(user_id: str) -> str:
    """An unsigned access token; only a backend would look at its signature."""
    claims = json.dumps({"sub": user_id, "email": "a@b.example", "exp": 4102444800})
    payload = base64.urlsafe_b64encode(claims.encode()).decode().rstrip("=")
    return f"e30.{payload}.x"


@pytest.mark.parametrize(
    "words",
    ["list", "list --json", "--json list", "--offline --profile default list --sort quality"],
)
def test_list_loads_only_what_it_needs(
    tmp_path: Path, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an ordinary user has it: a configuration file and a session in the directories of XDG."""
    user_id = "00000000-0000-4000-8000-000000000001"
    for name in list(os.environ):
        if name.startswith(("LORA_TUI_", "SUPABASE_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LORA_TUI_NO_KEYRING", "1")
    file = find_paths().config_file
    file.parent.mkdir(parents=True)
    file.write_text('[profiles.default]\nurl = "http://127.0.0.1:9"\nanon_key = "anon"\n')
    profile = load_profile()
    save_session(profile, session_of_token(Secret(access_token_of(user_id))))
    row = {
        "id": "00000000-0000-4000-8000-00000000000a",
        "user_id": user_id,
        "name": "Support answers",
        "created_at": "2026-11-20T10:00:00+00:00",
        "updated_at": "2026-11-20T10:00:00+00:00",
        "quality_metrics": {"overall_score": 4, "convergence_quality": "good"},
    }
    cache = open_cache(profile.cache_path(user_id), cache_owner(profile, user_id))
    with transaction(cache, Topic.MODELS):
        put_models(cache, [row])
    cache.close()

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )

    peer = python("import sqlite3, argparse, sys; print(*sys.modules)").stdout.split()
    done = python(LIST_MODELS, *words.split())

    run = json.loads(done.stderr.splitlines()[-1])
    assert run["code"] == 0
    assert "Support answers" in done.stdout
    assert set(run["modules"]) - set(peer) <= LIST_LOADS
