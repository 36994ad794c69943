"""Changes one's own models in the project for the screens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from enum import StrEnum
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any

from lora_tui.cache.models import get_row
from lora_tui.domain import Model
from lora_tui.engine.protocol import CACHE
from lora_tui.errors import LoraTuiError, PartlyFailedError

if TYPE_CHECKING:
    from lora_tui.engine.online import OnlineWriters


class Act(StrEnum):
    """What is done to models."""

    ARCHIVE = "archive"
    UNARCHIVE = "unarchive"
    DELETE = "delete"
    RESTORE = "restore"


class KeepingWriter:
    """What the engine does with one's own models. The requests are the methods of `calls`."""

    def __init__(
        self,
        online: Callable[[], OnlineWriters],
        cache: Callable[[], AbstractContextManager[Connection]],
        tell: Callable[[str, Any], None],
    ) -> None:
        self._online, self._cache, self._tell = online, cache, tell

    @property
    def calls(self) -> tuple[Callable[..., Any], ...]:
        """The requests."""
        return (self.rename_model, self.describe_model, self.keep_models)

    def rename_model(self, *, model_id: str, name: str, seen: str) -> None:
        """Give a model another name. Raises UsageError, and as `change_model`."""
        from lora_tui.keeping.change import renaming

        self._change(model_id, renaming(name), seen)

    def describe_model(self, *, model_id: str, text: str, seen: str) -> None:
        """Write the description of a model. Raises UsageError, and as `change_model`."""
        from lora_tui.keeping.change import describing

        self._change(model_id, describing(text), seen)

    def keep_models(self, *, act: str, models: Mapping[str, str]) -> str | None:
        """Do the same to models (id → the `updated_at` that the user saw).

        Returns what a restored model has lost, if so. Raises PartlyFailedError where some failed,
        and as `change_model` where all did.
        """
        from lora_tui.keeping.change import OF_EVERY_MODEL

        lost: str | None = None
        errors: list[LoraTuiError] = []
        changed = 0
        for model_id, seen in models.items():
            try:
                row = self._change(model_id, self._changes(Act(act), model_id), seen)
            except LoraTuiError as error:
                errors.append(error)
                if isinstance(error, OF_EVERY_MODEL):
                    break
            else:
                changed += 1
                lost = lost or (Model.from_row(row).lost_files if act == Act.RESTORE else None)
        if errors and changed:
            raise PartlyFailedError(
                f"{len(models) - changed} of {len(models)} models are as they were",
                details=str(errors[0]),
                remedy=errors[0].remedy,
            )
        if errors:
            raise errors[0]
        return lost

    def _changes(self, act: Act, model_id: str) -> dict[str, Any]:
        from lora_tui.keeping import change

        match act:
            case Act.ARCHIVE:
                return change.archiving()
            case Act.UNARCHIVE:
                with self._cache() as db:
                    return change.unarchiving(get_row(db, model_id) or {})
            case Act.DELETE:
                return change.deleting()
            case Act.RESTORE:
                return change.undeleting()

    def _change(self, model_id: str, changes: Mapping[str, Any], seen: str) -> Mapping[str, Any]:
        row = self._online().change_model(model_id, changes, seen=seen)
        self._tell(CACHE, None)
        return row
