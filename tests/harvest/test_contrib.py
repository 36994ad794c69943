"""What contrib/ and docs/harvest.md say fits the program that they are about."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lora_tui.cli.grammar import build_parser

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "contrib/systemd").glob("*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_the_program_with_arguments_that_it_takes(unit: Path) -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.M)
    program, *arguments = shlex.split(line)
    assert Path(program).name == "lora-tui"
    assert build_parser().parse_args(arguments).harvest


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_gets_its_secrets_as_credentials_only(unit: Path) -> None:
    text = unit.read_text()
    for setting, name in (
        ("SUPABASE_SERVICE_ROLE_KEY", "service-key"),
        ("GPU_CLUSTER_API_KEY", "gpu-key"),
    ):
        assert f"{setting}_FILE=%d/{name}" in text
        assert f"LoadCredential={name}:" in text
        assert f"{setting}=" not in text
    assert "DynamicUser=yes" in text


def test_the_service_is_restarted_after_a_refused_key_a_limited_number_of_times() -> None:
    text = (ROOT / "contrib/systemd/lora-tui-harvest.service").read_text()
    assert re.findall(r"^RestartPreventExitStatus=(.*)$", text, re.M) == ["2"]
    assert "Restart=on-failure" in text
    before_service = text.partition("[Service]")[0]
    assert re.search(r"^StartLimitBurst=\d+$", before_service, re.M)
    assert re.search(r"^StartLimitIntervalSec=\S+$", before_service, re.M)


def test_the_timer_starts_a_service_that_exists() -> None:
    for timer in (ROOT / "contrib/systemd").glob("*.timer"):
        assert timer.with_suffix(".service") in UNITS


def test_the_container_starts_the_program_with_arguments_that_it_takes() -> None:
    text = (ROOT / "contrib/container/Containerfile").read_text()
    (words,) = re.findall(r"^CMD \[(.*)\]$", text, re.M)
    assert build_parser().parse_args(re.findall(r'"([^"]*)"', words)).harvest


def test_the_container_is_built_from_all_that_the_package_is_made_of(tmp_path: Path) -> None:
    text = (ROOT / "contrib/container/Containerfile").read_text()
    context = tmp_path / "context"
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.M):
        *sources, target = line.split()
        for source in map(ROOT.joinpath, sources):
            if source.is_dir():
                shutil.copytree(source, context / target, symlinks=True, dirs_exist_ok=True)
            else:
                (context / target).mkdir(parents=True, exist_ok=True)
                shutil.copy(source, context / target)
    whole = names_in_wheel(ROOT, tmp_path / "whole")
    assert whole - names_in_wheel(context, tmp_path / "copied") == set()


def names_in_wheel(sources: Path, directory: Path) -> set[str]:
    """What a wheel that is built from these sources holds."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", directory],
        cwd=sources,
        capture_output=True,
        timeout=60,
        check=True,
    )
    return set(zipfile.ZipFile(next(directory.glob("*.whl"))).namelist())


def test_the_documentation_names_only_tests_that_exist() -> None:
    text = (ROOT / "docs/harvest.md").read_text()
    tests = "".join(path.read_text() for path in (ROOT / "tests/harvest").glob("test_*.py"))
    named = re.findall(r"`(test_[a-z_]+)", text)
    assert len(named) > 5
    assert [name for name in named if f"def {name}" not in tests] == []


def test_the_documentation_names_only_options_that_exist() -> None:
    text = (ROOT / "docs/harvest.md").read_text()
    options = set(re.findall(r"^\| `(--[a-z-]+)", text, re.M))
    assert options
    assert options <= set(build_parser()._option_string_actions)
