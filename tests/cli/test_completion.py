"""Shell completion: commands, options, and the models of the cache, quoted for the shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from lora_tui.cache import models
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.config.table import Profile
from lora_tui.sandbox import Sandbox
from tests.commands.models import whole_model
from tests.conftest import Run
from tests.tui.test_terminal import shell

HOSTILE = "it's $(touch pwned) `id` & more"


def values(run: Run, *words: str, shell: str = "zsh") -> list[str]:
    ran = run("__complete", shell, *words)
    assert ran.code == 0
    assert ran.err == ""
    lines = ran.out.splitlines()
    return [line.removeprefix("=").partition("\t")[0] for line in lines]


@pytest.fixture
def synced(configured: Sandbox, run: Run, profile: Profile) -> Sandbox:
    """A cache with one model of a name that a shell would run."""
    run("sync")
    [path] = profile.paths.cache_dir.glob("*.sqlite3")
    rename(path, "max", HOSTILE)
    return configured


def rename(path: Path, which: str, name: str) -> None:
    """Give the model of the least or greatest id in the cache this name."""
    with closing(open_cache(path)) as db, transaction(db, Topic.MODELS):
        [(model_id,)] = db.execute(f"SELECT {which}(id) FROM models").fetchall()
        models.put_models(db, [{**(models.get_row(db, model_id) or {}), "name": name}])


def test_commands_options_and_choices_come_from_the_grammar(run: Run) -> None:
    assert {"list", "show", "doctor", "completion"} <= set(values(run, ""))
    assert values(run, "comp") == ["compare"] * ("compare" in values(run, "")) + ["completion"]
    assert "--min-stars" in values(run, "list", "--")
    assert "--json" not in values(run, "list", "--json", "--")
    assert values(run, "list", "--sort", "q") == ["quality"]
    assert values(run, "list", "--sort=q") == ["--sort=quality"]
    assert values(run, "list", "--quality", "good,exc") == ["good,excellent"]
    assert values(run, "jobs", "--status", "failed,run") == ["failed,running"]
    assert values(run, "jobs", "--columns", "id,val") == ["id,validation_loss"]
    assert values(run, "list", "--columns", "+rank,lear") == ["+rank,learning_rate"]
    assert values(run, "list", "--columns", "he") == ["help"]
    assert values(run, "list", "--where", "rank > 8 and (fav") == ["rank > 8 and (favorite"]
    assert values(run, "effect", "effective") == ["effective_rank"]
    assert values(run, "effect", "rank", "bas") == []  # a number is wanted
    assert values(run, "effect", "rank", "cost", "--by", "bas") == ["base_model"]
    assert values(run, "jobs", "sh") == ["show"]
    assert values(run, "serve-config", "x", "--for", "ll") == ["llama.cpp"]
    assert values(run, "serve-config", "x", "--for", "=", "ll", shell="bash") == ["llama.cpp"]
    assert values(run, "config", "set", "gpu_") == ["gpu_key", "gpu_url"]
    assert values(run, "download", "x", "--to", "") == [":directories"]


def test_aliases_and_tags(synced: Sandbox, run: Run) -> None:
    model = whole_model(run)
    run("tag", model, "candidate", "customer/acme")
    run("alias", "set", "production", model)
    assert values(run, "download", "@p") == ["@production"]
    assert values(run, "compare", model, "@") == ["@production"]
    assert values(run, "compare", "@", "production", "@", "p", shell="bash") == ["@production"]
    assert values(run, "compare", model, "@", shell="bash") == ["@production"]
    assert values(run, "verify", "@p") == ["@production"]
    assert values(run, "alias", "history", "pro") == ["production"]
    assert values(run, "tag", model, "cust") == ["customer/acme"]
    assert "list" in values(run, "tag", "l")
    assert values(run, "alias", "re") == ["remove"]


def test_models_by_name_and_by_id(synced: Sandbox, run: Run) -> None:
    names = {model["name"] for model in run("list", "--json").data["models"]}
    assert set(values(run, "show", "")) <= {*names, HOSTILE}
    assert HOSTILE in values(run, "show", "")
    assert values(run, "show", "it's") == [HOSTILE]
    model = whole_model(run)
    assert model in values(run, "show", model[:3])
    assert ":files" in values(run, "inspect", "")
    assert "adapter_config.json" in values(run, "download", model, "adapter")
    assert values(run, "download", model, "*") == ["*.json"]


def test_it_sends_no_request_and_creates_no_file(synced: Sandbox, run: Run) -> None:
    before = len(synced.requests())
    values(run, "show", "")
    assert len(synced.requests()) == before


def test_where_there_is_nothing_it_is_silent(run: Run, home: Path) -> None:
    assert values(run, "show", "") == []
    assert values(run, "inspect", "") == [":files"]
    assert values(run, "frobnicate", "--no-such", "") != ["x"]
    assert not home.exists()


def test_it_loads_nothing_heavy(synced: Sandbox) -> None:
    code = (
        "import sys; from lora_tui.cli.run import main; main(['__complete', 'bash', 'show', ''])\n"
        "heavy = {'textual', 'rich', 'httpx', 'keyring', 'sqlite_utils', 'pydantic'}\n"
        "heavy |= {'supabase', 'postgrest', 'supabase_auth', 'storage3', 'realtime'}\n"
        "sys.exit(repr(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


def with_program(tmp_path: Path) -> dict[str, str]:
    """The environment, with this checkout's `lora-tui` on PATH."""
    program = tmp_path / "bin" / "lora-tui"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lora_tui "$@"\n')
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}


def test_bash_completes_and_a_hostile_name_is_quoted(
    synced: Sandbox, run: Run, tmp_path: Path
) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    script = (
        "source <(lora-tui completion bash)\n"
        'try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lora_tui lora-tui;'
        ' printf "%s\\n" "${COMPREPLY[@]}"; }\n'
        'try lora-tui show "it\\\\\'s"; try lora-tui list --sor; try lora-tui doc\n'
    )
    done = subprocess.run(
        [bash, "--norc", "-c", script],
        env=with_program(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    name, option, command = done.stdout.splitlines()
    assert (option, command) == ("--sort", "doctor")
    echoed = subprocess.run(
        [bash, "-c", f"printf %s {name}"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert echoed.stdout == HOSTILE
    assert not (tmp_path / "pwned").exists()


COLON = "Epoch:3 of 5, lr=2e-4"


@pytest.fixture
def colon(synced: Sandbox, profile: Profile) -> str:
    """The name of a model in which bash cuts a word."""
    [path] = profile.paths.cache_dir.glob("*.sqlite3")
    rename(path, "min", COLON)
    return COLON


def test_bash_completes_behind_a_colon_in_quotes_or_not(colon: str, run: Run) -> None:
    for typed, inserts in (
        (["Epo"], COLON),
        (["Epoch", ":"], "3 of 5, lr=2e-4"),
        (["Epoch", ":", "3"], "3 of 5, lr=2e-4"),
        (["Epoch", ":", "3\\ of\\ 5,\\ lr", "="], "2e-4"),
        (["Epoch", ":", "3\\ of\\ 5,\\ lr", "=", "2"], "2e-4"),
        (['"Epoch:3 o'], COLON),
        (["'Epoch:"], COLON),
        (["Epoch\\:3"], COLON),
    ):
        assert values(run, "show", *typed, shell="bash") == [inserts]
    assert COLON not in values(run, "show", "Epoch", ":", "", shell="bash")  # a word of its own


@pytest.mark.parametrize("quote", ["'", '"', ""])
def test_nothing_that_a_name_holds_acts_on_bash_in_any_quotes(
    run: Run, tmp_path: Path, quote: str
) -> None:
    name = """two `touch pwned` $(touch pwned) "q" it's back\\slash !boo ${HOME} \\$x"""
    script = (
        f"{run('completion', 'bash').out}\n"
        "program() { printf '=%s\\n' \"$NAME\"; }\n"
        'COMP_WORDS=(lora-tui show "$1"); COMP_CWORD=2; _lora_tui program; echo "${COMPREPLY[0]}"'
    )
    environment = {**os.environ, "NAME": name}
    ask = ["bash", "-c", script, "bash", f"{quote}two"]
    inserted = subprocess.run(ask, env=environment, capture_output=True, text=True, check=True)
    line = f"printf %s {quote}{inserted.stdout.rstrip()}{quote}"
    ran = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout == name
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "home"])


def test_bash_itself_puts_the_rest_of_a_name_behind_the_colon(colon: str, tmp_path: Path) -> None:
    set_by_shell = ("HOME", "TERM", "PS1")
    environment = {k: v for k, v in with_program(tmp_path).items() if k not in set_by_shell}
    with shell(tmp_path, **environment) as terminal:
        terminal.type("source <(lora-tui completion bash); echo ready $((1 + 1))\n")
        terminal.wait_for("ready 2")
        terminal.type("echo $(( 40 + 2 ))\n")
        terminal.wait_for("42")
        terminal.type("lora-tui show Epoch:\t")
        terminal.wait_for("2e-4")
        terminal.type("\x01printf '[%s]' \n")  # at the beginning of the line
        terminal.wait_for(f"[lora-tui][show][{COLON}]")


def test_fish_completes_behind_quotes_and_escaped_spaces(
    colon: str, run: Run, tmp_path: Path
) -> None:
    fish = shutil.which("fish")
    assert fish is not None, "fish is missing; on Debian: apt-get install fish"
    script = tmp_path / "lora-tui.fish"
    script.write_text(run("completion", "fish").out)
    for typed in ("'Epoch:3 o", '"Epoch:3 o', r"Epoch:3\ o", "Epo", f"'{COLON}'"):
        ask = [
            *(fish, "--no-config", "-c", 'source $argv[1]; complete -C "$argv[2]"'),
            *(str(script), f"lora-tui show {typed}"),
        ]
        done = subprocess.run(
            ask, env=with_program(tmp_path), capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[0].split("\t")[0] == COLON


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(run: Run, name: str) -> None:
    ran = run("completion", name)
    assert ran.code == 0
    assert f"__complete {name} " in ran.out


def test_a_shell_that_is_not_known(run: Run) -> None:
    assert run("completion", "tcsh").code == 2


@pytest.mark.parametrize(
    "words",
    ["load x --to", "unload x --from", "try x --on", "prove x --on", "servers remove"],
)
def test_the_servers_of_the_profile_wherever_one_is_named(
    synced: Sandbox, run: Run, words: str
) -> None:
    url = "http://127.0.0.1:9"
    assert run("servers", "add", "gpu-1", url, "--kind", "vllm", "--offline").code == 0

    assert "gpu-1" in values(run, *words.split(), "g")
