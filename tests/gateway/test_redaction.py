"""No key and no password of a server's text is shown, and ordinary sentences stay readable."""

from __future__ import annotations

import json

import pytest

from lora_tui.secret import MASK, Secret
from lora_tui.text import terminal_safe, without_secrets

HIDDEN = "Zq9xW4kLm2"


@pytest.mark.parametrize(
    "text",
    [
        "RUNPOD_API_KEY=rpa_{0} failed",
        "rpa_{0}",
        "export AWS_SECRET_ACCESS_KEY={0}",
        "AWS_SECRET_ACCESS_KEY: {0}",
        "AWS_SECRET_ACCESS_KEY = '{0} {0}'",
        '{{"aws_secret_access_key": "{0}", "b": 1}}',
        "{{'api_key': '{0}', 'b': 1}}",
        r"{{\"api_key\": \"{0}\"}}",
        '"service_token":"{0}"',
        "refresh_tokens={0}",
        "keyId={0}",
        "db_password={0}",
        "PASSWD={0}",
        "credentials: {0}",
        "X-Amz-Signature%3D{0}%26x",
        "X-Amz-Credential%253D{0}",
        "?X-Amz-Security-Token={0}&a=b",
        "error: OPENAI_API_KEY={0}",
        "KeyError: API_KEY={0}",
        "hf_{0}",
        "sb_secret_{0}",
        "sk-proj-{0}",
        "Authorization: Basic {0}==",
        "authorization: bearer {0}",
        "https://user:{0}@host/path",
        "postgres://user:{0}@host:5432/db",
        "eyJhbGciOi.{0}.abc",
    ],
)
def test_a_secret_is_masked_however_it_is_written(text: str) -> None:
    shown = without_secrets(text.format(HIDDEN))
    assert HIDDEN not in shown
    assert MASK in shown


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens: 512",
        "max_new_tokens=512, pad_token_id: 0",
        "KeyError: 'lora_A'",
        "tokenizer: Qwen/Qwen2.5-7B",
        "CUDA out of memory. Tried to allocate 2.00 GiB: GPU 0",
        "duplicate key value violates unique constraint",
        "The API key: invalid",
        "unexpected keyword: rank",
        "missing keys: a, b",
        "basic training failed, Basic Authentication required",
        "hf_transfer is not available; hf_hub_download failed",
        "https://host/path: 404",
        "step 3 of 10: loss = 0.5",
        "the password is too short",
    ],
)
def test_ordinary_sentences_stay_as_they_are(text: str) -> None:
    assert without_secrets(text) == text


def test_a_secret_of_our_own_is_masked_in_any_text_of_a_server() -> None:
    held = Secret("plainword-of-ours")
    for text in (f"id {held.reveal()} done", f"x{held.reveal()}y", "plain\x00word-of\u200b-ours"):
        assert held.reveal() not in terminal_safe(text)
        assert MASK in terminal_safe(text)
        assert held.reveal() not in terminal_safe(text, limit=12)
    assert "anon-key-of-ours" in terminal_safe(Secret("anon-key-of-ours", public=True).reveal())


def test_the_time_to_mask_grows_with_the_text_only() -> None:
    for text in ("key" * 700, "a.key-" * 350, "key=" * 500, json.dumps({"key": "\\" * 900})):
        assert len(without_secrets(text)) <= 500
