"""Loading, unloading and listing adapters: `/v1/load_lora_adapter` and its neighbours."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from lora_tui import clock
from lora_tui.sandbox.vllm.adapter import EngineRefusedError, MissingAdapterError
from lora_tui.sandbox.vllm.engine import Engine
from lora_tui.sandbox.vllm.responses import (
    RefusedError,
    json_answer,
    plain_answer,
    read_fields,
)
from lora_tui.sandbox.vllm.settings import HOSTILE, HUGE_BYTES, Behavior, ServerSettings


async def load_adapter(engine: Engine, settings: ServerSettings, request: Request) -> Response:
    """`POST /v1/load_lora_adapter`."""
    fields = await read_fields(request, "lora_name", "lora_path")
    name, path = fields["lora_name"], fields["lora_path"]
    if not name or not path:
        raise RefusedError(
            400, "InvalidUserInput", "Both 'lora_name' and 'lora_path' must be provided."
        )
    if name == engine.base.name:
        raise RefusedError(
            400,
            "InvalidUserInput",
            f"The lora adapter '{name}' conflicts with a served base model.",
        )
    if name in engine.adapters and not fields.get("load_inplace"):
        raise RefusedError(
            400,
            "InvalidUserInput",
            f"The lora adapter '{name}' has already been loaded. If you want to load the adapter"
            " in place, set 'load_inplace' to True.",
        )
    if not settings.enable_lora:
        raise _internal("LoRA is not enabled. Use --enable-lora to enable LoRA.")
    try:
        engine.load(name, path)
    except MissingAdapterError as error:
        raise RefusedError(
            404,
            "NotFoundError",
            f"Loading lora {name} failed: No adapter found for {path}",
        ) from error
    except EngineRefusedError as error:
        raise _internal(
            f"Call to add_lora method failed: Worker failed with error '{error}', please check the"
            " stack trace above for the root cause"
        ) from error
    return plain_answer(f"Success: LoRA adapter '{name}' added successfully.")


async def unload_adapter(engine: Engine, request: Request) -> Response:
    """`POST /v1/unload_lora_adapter`."""
    name = (await read_fields(request, "lora_name"))["lora_name"]
    if not name:
        raise RefusedError(
            400,
            "InvalidUserInput",
            "'lora_name' needs to be provided to unload a LoRA adapter.",
        )
    if name not in engine.adapters:
        raise RefusedError(404, "NotFoundError", f"The lora adapter '{name}' cannot be found.")
    engine.unload(name)
    return plain_answer(f"Success: LoRA adapter '{name}' removed successfully.")


def list_models(engine: Engine, behavior: Behavior) -> Response:
    """`GET /v1/models`: the base, then the adapters."""
    base = engine.base
    cards = [_card(base.name, base.name, None, base.max_model_len)]
    cards += [
        _card(adapter.name, adapter.path, base.name, None) for adapter in engine.adapters.values()
    ]
    if behavior.hostile:
        cards.append(_card(HOSTILE, HOSTILE, base.name, None))
    if behavior.huge:
        cards.append(_card("x" * HUGE_BYTES, "/x", base.name, None))
    return json_answer({"object": "list", "data": cards})


def _card(name: str, root: str, parent: str | None, length: int | None) -> dict[str, Any]:
    created = int(clock.now().timestamp())
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "vllm",
        "root": root,
        "parent": parent,
        "max_model_len": length,
        "permission": [
            {
                "id": "modelperm-0",
                "object": "model_permission",
                "created": created,
                "allow_create_engine": False,
                "allow_sampling": True,
                "allow_logprobs": True,
                "allow_search_indices": False,
                "allow_view": True,
                "allow_fine_tuning": False,
                "organization": "*",
                "group": None,
                "is_blocking": False,
            }
        ],
    }


def _internal(message: str) -> RefusedError:
    return RefusedError(500, "InternalServerError", message)
