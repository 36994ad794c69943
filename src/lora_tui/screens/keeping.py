"""Changes one's own models in the project: rename, describe, archive, delete, restore, undo.

The change is made by the engine. A toast says what was done, and the menu takes it back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from sqlite3 import Connection
from typing import TYPE_CHECKING, Final

from lora_tui import formats
from lora_tui.cache.deleted_models import deleted_row, select_deleted, state_of
from lora_tui.cache.models import get_row
from lora_tui.engine.keeping import Act
from lora_tui.errors import LoraTuiError
from lora_tui.keeping.consequences import consequences
from lora_tui.screens.confirm import ConfirmScreen
from lora_tui.screens.keep_menu import KeepMenu
from lora_tui.text import terminal_safe
from lora_tui.widgets.bindings import key_of

if TYPE_CHECKING:
    from lora_tui.tui.base_screen import CacheScreen

Named = Mapping[str, str]
"""Ids of models, with their names."""
_NAME: Final = 60
_IN_TURN: Final = "keeping"
_LONGEST_DESCRIPTION: Final = 2_000
_DONE: Final = {
    Act.ARCHIVE: "archived",
    Act.UNARCHIVE: "no longer archived",
    Act.DELETE: "deleted",
    Act.RESTORE: "back in the list",
}
_OPPOSITE: Final = {
    Act.ARCHIVE: Act.UNARCHIVE,
    Act.UNARCHIVE: Act.ARCHIVE,
    Act.DELETE: Act.RESTORE,
    Act.RESTORE: Act.DELETE,
}


def open_menu(screen: CacheScreen, models: Named) -> None:
    """Ask what to do to these models, then do it; without models only what takes back."""
    undo = screen.lora.undo
    choices = {"undo": f"Undo: {undo[0]}"} if undo else {}
    if len(models) == 1:
        choices |= {"rename": "Rename", "describe": "Write its description"}
    rows = [get_row(screen.db, model_id) or {} for model_id in models]
    are_archived = all(row.get("status") == "archived" for row in rows)
    if models:
        out, into = "Take out of the archive", "Archive (it stays in the list)"
        choices |= {"archive": out if are_archived else into, "delete": "Delete"}
    deleted = len(select_deleted(screen.db))
    if deleted:
        choices["restore"] = f"Restore a deleted model ({formats.count(deleted)})"
    if not choices:
        screen.lora.notify("There is no model to change, and none that was deleted")
        return

    def chosen(choice: str | None) -> None:
        if choice == "undo" and undo:
            screen.lora.undo = None
            undo[1]()
        elif choice in ("rename", "describe"):
            edit = _rename if choice == "rename" else _describe
            edit(screen, *next(iter(models.items())))
        elif choice == "archive":
            _keep(screen, Act.UNARCHIVE if are_archived else Act.ARCHIVE, models)
        elif choice == "delete":
            _ask_to_delete(screen, models)
        elif choice == "restore":
            _ask_what_to_restore(screen)

    title = _title(models) if models else "Models"
    screen.app.push_screen(KeepMenu(title, choices), screen.while_alive(chosen))


def _rename(screen: CacheScreen, model_id: str, name: str) -> None:
    from lora_tui.screens.edit_name import EditNameScreen

    seen = state_of(screen.db, model_id)
    lora = screen.lora

    def save(new: str, saved: Callable[[], None], failed: Callable[[LoraTuiError], None]) -> None:
        def done(_: None) -> None:
            saved()
            _told(screen, f"{_short(name)} is {_short(new)} now", f"rename of {_short(name)}", undo)

        def undo() -> None:
            before = state_of(lora.db, model_id)
            call = partial(lora.writers.rename_model, model_id, name, seen=before)
            _write(screen, call, lambda _: _told(screen, f"{_short(name)} has its name again"))

        call = partial(lora.writers.rename_model, model_id, new, seen=seen)
        lora.start(call, done, failed=failed, name="rename", in_turn=_IN_TURN)

    screen.app.push_screen(EditNameScreen(name, save))


def _describe(screen: CacheScreen, model_id: str, name: str) -> None:
    from lora_tui.screens.edit_note import EditNoteScreen

    row = get_row(screen.db, model_id) or {}
    before = terminal_safe(row.get("description"), limit=_LONGEST_DESCRIPTION, lines=True)
    seen = state_of(screen.db, model_id)
    lora = screen.lora

    def save(text: str, saved: Callable[[], None], failed: Callable[[LoraTuiError], None]) -> None:
        def done(_: None) -> None:
            saved()
            _told(screen, f"{_short(name)} is described", f"description of {_short(name)}", undo)

        def undo() -> None:
            call = partial(
                lora.writers.describe_model, model_id, before, seen=state_of(lora.db, model_id)
            )
            _write(screen, call, lambda _: _told(screen, "The description is as it was"))

        call = partial(lora.writers.describe_model, model_id, text, seen=seen)
        lora.start(call, done, failed=failed, name="describe", in_turn=_IN_TURN)

    form = EditNoteScreen(
        _short(name), before, save, title="Description", longest=_LONGEST_DESCRIPTION
    )
    screen.app.push_screen(form)


def _ask_to_delete(screen: CacheScreen, models: Named) -> None:
    """Ask, with what stays; then delete."""
    remarks: list[str] = []
    for model_id, name in models.items():
        remarks += [f"{_short(name)}: {found}." for found in consequences(screen.db, model_id)]
    key = key_of(screen.app, "marks.keep")
    question = "\n".join(
        [
            f"Delete {_title(models)} in the project?",
            *remarks[:5],
            *([f"… and {len(remarks) - 5} more remarks"] if len(remarks) > 5 else []),
            f"Files stay in the bucket until the harvester removes them. {key} restores it.",
        ]
    )

    def answered(wanted: bool | None) -> None:
        if wanted:
            _keep(screen, Act.DELETE, models)

    screen.app.push_screen(ConfirmScreen("Delete", question), screen.while_alive(answered))


def _ask_what_to_restore(screen: CacheScreen) -> None:
    """List the deleted models; restore the chosen one."""
    deleted = {model.id: model for model in select_deleted(screen.db)}
    lines = {
        model.id: f"{formats.date(model.deleted_at)}  {terminal_safe(model.name, limit=_NAME)}"
        for model in deleted.values()
    }

    def chosen(model_id: str | None) -> None:
        if model_id is not None:
            _keep(screen, Act.RESTORE, {model_id: deleted[model_id].name})

    menu = KeepMenu("Restore", lines, note="the newest deletion first")
    screen.app.push_screen(menu, screen.while_alive(chosen))


def _keep(screen: CacheScreen, act: Act, models: Named, *, undoes: bool = False) -> None:
    """Let the engine do it, and say how it is undone."""
    lora = screen.lora
    todo = {model_id: name for model_id, name in models.items() if _applies(lora.db, act, model_id)}
    if not todo:
        lora.notify(_sentence(models, act))
        return
    states = {model_id: state_of(lora.db, model_id) for model_id in todo}

    def undo_of(changed: Named) -> Callable[[], None] | None:
        return None if undoes else partial(_keep, screen, _OPPOSITE[act], changed, undoes=True)

    def done(lost: str | None) -> None:
        said = _sentence(todo, act)
        _told(screen, f"{said}. {lost}" if lost else said, said, undo_of(todo))

    def failed(error: LoraTuiError) -> None:
        _failed(screen, error)
        changed = {
            model_id: name
            for model_id, name in todo.items()
            if not _applies(lora.db, act, model_id) and state_of(lora.db, model_id)
        }
        if changed and (undo := undo_of(changed)):
            lora.undo = (_sentence(changed, act), undo)

    call = partial(lora.writers.keep_models, act.value, states)
    lora.start(call, done, failed=failed, name="keeping", in_turn=_IN_TURN)


def _applies(db: Connection, act: Act, model_id: str) -> bool:
    """Whether the act changes a model, as far as the cache knows."""
    if act is Act.RESTORE:
        return deleted_row(db, model_id) is not None
    row = get_row(db, model_id)
    if row is None or act is Act.DELETE:
        return row is not None
    return (row.get("status") == "archived") == (act is Act.UNARCHIVE)


def _sentence(models: Named, act: Act) -> str:
    return f"{_title(models)} {'is' if len(models) == 1 else 'are'} {_DONE[act]}"


def _told(
    screen: CacheScreen, said: str, what: str = "", undo: Callable[[], None] | None = None
) -> None:
    lora = screen.lora
    lora.poll_cache()
    if undo is not None:
        lora.undo = (what, undo)
        said += f"; {key_of(lora, 'marks.keep')} undoes it"
    lora.notify(said, timeout=6)


def _write(screen: CacheScreen, call: Callable[[], object], told: Callable[..., None]) -> None:
    """Let the engine change it; one after the other, in the order of the keys."""
    failed = partial(_failed, screen)
    screen.lora.start(call, told, failed=failed, name="keeping", in_turn=_IN_TURN)


def _failed(screen: CacheScreen, error: LoraTuiError) -> None:
    screen.lora.poll_cache()
    screen.lora.show_error(error, title="Not changed")


def _title(models: Named) -> str:
    names: Sequence[str] = list(models.values())
    return _short(names[0]) if len(names) == 1 else formats.counted(len(names), "model")


def _short(name: str) -> str:
    return terminal_safe(name, limit=_NAME)
