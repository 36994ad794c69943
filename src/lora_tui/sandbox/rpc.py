"""Functions of the database that clients call by `POST /rest/v1/rpc/{name}`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from lora_tui.sandbox.backend import Backend, Caller
from lora_tui.sandbox.rest_errors import RestError

Function = Callable[[Backend, Caller, Mapping[str, Any]], Any]

# Those that our migration brings, by name; the deployed project has none.
MIGRATED_FUNCTIONS: Final[Mapping[str, Function]] = {}


def call_function(backend: Backend, caller: Caller, name: str, arguments: Mapping[str, Any]) -> Any:
    """Run a function and return its result as JSON. Raises RestError."""
    function = MIGRATED_FUNCTIONS.get(name) if backend.migrated else None
    if function is None:
        taken = ", ".join(sorted(arguments)) or "without parameters"
        raise RestError(
            404,
            "PGRST202",
            f"Could not find the function public.{name}({taken}) in the schema cache",
        )
    return function(backend, caller, arguments)
