"""The demo's own models on the demo's server: most work, and each kind of failure is there."""

from __future__ import annotations

from pathlib import Path

import httpx

from lora_tui.sandbox import Sandbox
from lora_tui.sandbox.vllm import Behavior
from tests.sandbox.client import WEIGHTS, clients
from tests.seeded import short_curves
from tests.serving import vllm_contract as contract
from tests.serving.vllm_contract import Server


def test_the_demos_models_have_an_effect_none_or_are_refused(tmp_path: Path) -> None:
    with short_curves(), Sandbox.start(models=12, waiting_jobs=0, serving=True) as sandbox:
        assert sandbox.model_server is not None
        server = Server(sandbox.environment()["LORA_TUI_DEMO_SERVER"], sandbox.model_server.base)
        sandbox.model_server.behavior.__dict__.update(Behavior().__dict__)
        with clients(sandbox) as (user, *_), httpx.Client(verify=False, trust_env=False) as http:

            def downloaded(index: int) -> Path:
                folder = tmp_path / str(index)
                folder.mkdir()
                for file in (WEIGHTS, "adapter_config.json"):
                    url = f"{sandbox.url}{user.sign(user.newest(index, file))}"
                    (folder / file).write_bytes(http.get(url).content)
                return folder

            contract.check_an_effect(server, downloaded(0), at_least=1)
            contract.check_an_effect(server, downloaded(4), at_least=1)  # another base of its size
            contract.check_no_effect(server, downloaded(11))
            contract.check_a_smaller_bases_adapter_gives_garbage(server, downloaded(1))
            contract.check_the_engine_refuses(server, downloaded(2), "must match the size")
