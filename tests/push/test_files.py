"""What `push` sends: every file of the adapter and its tokenizer, and no secret by accident."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from lora_tui.push.credentials import credential_kinds
from lora_tui.sandbox import Sandbox
from tests.conftest import Run
from tests.push.adapter import write_adapter
from tests.push.test_push import rows, writes


def jwt(**claims: str) -> str:
    parts = [json.dumps({"alg": "HS256"}), json.dumps(claims)]
    return ".".join(
        [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts]
        + ["c2lnbmF0dXJlLW9mLWl0"]
    )


# written in two parts, so that no scanner of repositories takes them for real ones
TOKENS = {
    "hf_" + "a1B2c3D4e5" * 3 + "f6G7": "Hugging Face",
    "sk-" + "x" * 48: "API key",
    "sk-" + "proj-" + "Ab1-" * 30: "API key",
    "sk-" + "ant-api03-" + "Zz9_" * 20: "API key",
    "AKIA" + "ABCDEFGH12345678": "AWS",
    "ghp_" + "a" * 36: "GitHub",
    "github_pat_" + "11ABC_" * 8: "GitHub",
    "xoxb-" + "1234567890-abcdefghij": "Slack",
    "AIza" + "S" * 35: "Google",
    "-----BEGIN " + "OPENSSH PRIVATE KEY-----": "private key",
    "-----BEGIN " + "PRIVATE KEY-----": "private key",
    "sb_secret_" + "abcdefghij0123456789": "Supabase",
    jwt(role="service_role", iss="supabase"): "service role",
    jwt(sub="somebody"): "JSON Web Token",
    "glpat-" + "a1b2c3d4e5f6g7h8i9j0": "GitLab",
    "WANDB_API_KEY=" + "0123456789" * 4: "Weights & Biases",
    "postgres://admin:" + "hunter22@db.internal/x": "password in a URL",
}


@pytest.mark.parametrize(("token", "kind"), TOKENS.items(), ids=range(len(TOKENS)))
@pytest.mark.parametrize(
    "around", ['{{"note": "{}"}}', "{{# {} #}}", "x={}", "\ufeff{}\r\n"], ids=range(4)
)
def test_every_kind_of_token_is_found_and_named(token: str, kind: str, around: str) -> None:
    content = around.format(token).encode()
    assert any(kind in found for found in credential_kinds([content]))
    middle = len(content) // 2
    pieces = [b"." * 20_000, content[:middle], content[middle:]]
    assert any(kind in found for found in credential_kinds(pieces))


@pytest.mark.parametrize(
    "text",
    [
        "task-specific-long-name-of-a-module",
        "desk-0123456789012345678901234567890",
        "hf_internal_testing/tiny_random_model",
        "https://user@example.org/path:80",
        '{"pad_token": "<|endoftext|>", "add_bos_token": "true"}',
        '{"token": 12345678901234567890, "password": 4921}',
        "AKIAmnesia and xoxo",
        "eyJ.eyJ.x",
        '{"▁private": 1, "▁key": 2, "BEGIN": 3}',
    ],
)
def test_ordinary_text_is_no_secret(text: str) -> None:
    assert credential_kinds([text.encode()]) == ()


@pytest.mark.parametrize(
    "name", ["tokenizer_config.json", "chat_template.jinja", "adapter_config.json", "vocab.txt"]
)
def test_a_file_with_a_token_is_refused_before_anything_leaves(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path, name: str
) -> None:
    directory = write_adapter(tmp_path / "out")
    token = "hf_" + "a1B2c3D4e5" * 3 + "f6G7"
    path = directory / name
    if name.endswith(".json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"note": token}))
    else:
        path.write_text(f"{{# {token} #}}")
    since = len(configured.requests())
    ran = run("push", str(directory), "--dataset", dataset)
    assert ran.code == 2
    assert f"{name}: a Hugging Face token" in ran.err
    assert "--allow-secrets" in ran.err
    assert token not in ran.err + ran.out
    assert writes(configured, since) == []
    ran = run("push", str(directory), "--dataset", dataset, "--allow-secrets", "--json")
    assert ran.code == 0, ran.err
    assert name in ran.data["sent"]
    assert token not in ran.err + ran.out


def test_the_key_of_this_program_is_found_in_any_form(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    directory = write_adapter(tmp_path / "out")
    (directory / "tokenizer_config.json").write_text(json.dumps({"x": configured.service_key}))
    ran = run("push", str(directory), "--dataset", dataset)
    assert ran.code == 2
    assert configured.service_key not in ran.err


def test_the_pickle_of_the_arguments_stays_here_unless_it_is_asked_for(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    directory = write_adapter(tmp_path / "out")
    (directory / "training_args.bin").write_bytes(b"\x80\x02}q\x00.")
    ran = run("push", str(directory), "--dataset", dataset, "--json")
    assert ran.code == 0
    assert "training_args.bin" not in ran.data["sent"]
    assert "training_args.bin is not sent" in ran.err
    assert "--with-training-args" in ran.err
    other = write_adapter(tmp_path / "other", rank=8)
    (other / "training_args.bin").write_bytes(b"\x80\x02}q\x00.")
    ran = run("push", str(other), "--dataset", dataset, "--with-training-args", "--json")
    assert "training_args.bin" in ran.data["sent"]
    # without the option later the model is the same one
    assert run("push", str(other)).code == 0


@pytest.mark.parametrize(
    "names",
    [
        ("spiece.model", "added_tokens.json"),
        ("sentencepiece.bpe.model", "tokenizer.json"),
        ("vocab.txt", "special_tokens_map.json"),
        ("vocab.json", "merges.txt"),
        ("tekken.json", "tokenizer.model.v3"),
        ("source.spm", "target.spm"),
        ("tokenizer.model", "chat_template.jinja"),
        ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"),
        ("tiktoken.model", "qwen.tiktoken"),
    ],
    ids=lambda names: names[0],
)
def test_the_tokenizer_and_processor_of_every_family_go_along(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path, names: tuple[str, ...]
) -> None:
    directory = write_adapter(tmp_path / "out")
    for name in names:
        (directory / name).write_bytes(b"{}" if name.endswith(".json") else b"\nwords\n")
    (directory / "rng_state.pth").write_bytes(b"no part of it")
    ran = run("push", str(directory), "--dataset", dataset, "--json")
    assert ran.code == 0, ran.err
    assert set(names) <= {*ran.data["sent"]}
    [row] = rows(configured, f"model_artifacts?id=eq.{ran.data['model_id']}")
    assert set(names) <= row["artifacts"].keys()  # type: ignore[attr-defined]
    assert "rng_state.pth" not in ran.data["sent"]


def test_an_adapter_in_a_folder_of_its_own_is_named(run: Run, tmp_path: Path) -> None:
    write_adapter(tmp_path / "out" / "support")
    ran = run("push", str(tmp_path / "out"))
    assert ran.code == 3
    assert "name one of its adapters: support" in ran.err.lower()


def test_a_configuration_that_peft_would_not_load_is_refused(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    directory = write_adapter(tmp_path / "out")
    path = directory / "adapter_config.json"
    since = len(configured.requests())
    config = json.loads(path.read_text())
    for wrong in ({"r": 0}, {"peft_type": "NEWER"}, {"bias": "some"}, {"rank_pattern": {"(": 4}}):
        path.write_text(json.dumps(config | wrong))
        ran = run("push", str(directory), "--dataset", dataset)
        assert ran.code == 6, (wrong, ran.err)
        assert "PEFT would not load this adapter" in ran.err
    assert writes(configured, since) == []
