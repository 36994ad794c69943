"""`urls`, as a user types it."""

from __future__ import annotations

import httpx

from lora_tui.sandbox import Sandbox
from tests.commands.models import whole_model
from tests.conftest import Run


def test_urls_can_be_fetched_by_anyone_who_has_them(configured: Sandbox, run: Run) -> None:
    run("sync")
    data = run("urls", whole_model(run), "--json").data
    assert data["expires_in_seconds"] == 3600
    assert len(data["download_urls"]) == 6
    with httpx.Client() as client:
        config = client.get(data["download_urls"]["adapter_config.json"]).raise_for_status()
    assert config.json()["peft_type"] == "LORA"


def test_links_for_some_of_the_files_are_half_a_success(configured: Sandbox, run: Run) -> None:
    run("sync")
    model = whole_model(run)
    path = run("show", model, "--json").data["artifacts"]["tokenizer.json"]
    httpx.request(
        "DELETE",
        f"{configured.url}/storage/v1/object/lora-models",
        headers={"apikey": configured.service_key},
        json={"prefixes": [path]},
    ).raise_for_status()
    ran = run("urls", model, "--json")
    assert ran.code == 7
    assert len(ran.data["download_urls"]) == 5
    assert "tokenizer.json" in ran.err
