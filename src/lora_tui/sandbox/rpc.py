"""Functions of the database that clients call by `POST /rest/v1/rpc/{name}`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lora_tui.sandbox import leases
from lora_tui.sandbox.backend import Backend, Caller
from lora_tui.sandbox.rest_errors import RestError


@dataclass(frozen=True)
class Function:
    """A function that our migration brings; the service role alone may call it."""

    parameters: frozenset[str]
    run: Callable[[Backend, Mapping[str, Any]], Any]


_LEASE: Final = frozenset(("p_job_id", "p_holder"))

MIGRATED_FUNCTIONS: Final[Mapping[str, Function]] = {
    "claim_harvest_lease": Function(_LEASE | {"p_seconds"}, leases.claim),
    "renew_harvest_lease": Function(_LEASE | {"p_seconds"}, leases.renew),
    "release_harvest_lease": Function(_LEASE, leases.release),
}


def call_function(backend: Backend, caller: Caller, name: str, arguments: Mapping[str, Any]) -> Any:
    """Run a function and return its result as JSON. Raises RestError."""
    function = MIGRATED_FUNCTIONS.get(name) if backend.migrated else None
    if function is None or function.parameters != arguments.keys():
        taken = f"({', '.join(sorted(arguments))})" if arguments else " without parameters"
        raise RestError(
            404,
            "PGRST202",
            f"Could not find the function public.{name}{taken} in the schema cache",
        )
    if not caller.is_service:
        raise RestError(403, "42501", f"permission denied for function {name}")
    with backend.database.transaction():
        return function.run(backend, arguments)
