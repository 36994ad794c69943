"""Marks models as one's own: what the keys for favorite, tags, note and alias do, on any screen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from lora_tui import formats
from lora_tui.cache.models import names_of
from lora_tui.cache.own_marks import alias_histories, get_marks, tags_in_use
from lora_tui.errors import LoraTuiError
from lora_tui.text import terminal_safe
from lora_tui.widgets.bindings import key_of

if TYPE_CHECKING:
    from lora_tui.screens.edit_tags import TagChange
    from lora_tui.tui.base_screen import CacheScreen


class HasName(Protocol):
    """A model, whole or a line of a list."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


_IN_TURN: Final = "marks"
_NAME: Final = 60
Named = Mapping[str, str]
"""Ids of models, with their names."""


def mark(
    screen: CacheScreen, what: str, model: HasName | None, chosen: Collection[str] = frozenset()
) -> None:
    """Do what a key of MARK_KEYS stands for: `favorite`, `tags`, `note`, `alias` or `keep`.

    `chosen`: the ids of models that are marked in a list; favorites, tags, archiving and deleting
    are for all of them. Without a model only `keep` does something: it restores deleted ones.
    """
    several = names_of(screen.db, chosen) or ({model.id: model.name} if model else {})
    if what == "keep":
        from lora_tui.screens.keeping import open_menu  # late: seldom needed

        open_menu(screen, several)
    elif model is None:
        return
    elif what == "favorite":
        toggle_favorite(screen, several)
    elif what == "tags":
        edit_tags(screen, several)
    else:
        edit = edit_note if what == "note" else set_alias
        edit(screen, model.id, model.name)


def toggle_favorite(screen: CacheScreen, models: Named) -> None:
    """Make all of them favorites; if they all are, none. A toast says so."""
    key = key_of(screen.app, "marks.favorite")
    title = _title(models)

    def told(result: tuple[bool, int]) -> None:
        wanted, changed = result
        if len(models) == 1:
            said = "is a favorite" if wanted else "is no longer a favorite"
        else:
            number = "all" if changed == len(models) else f"{changed} more"
            said = f"{number} are favorites now" if wanted else "are no longer favorites"
        undo = "undoes it" if changed == len(models) else "again: none of them"
        screen.lora.notify(f"{title} {said}; {key} {undo}", timeout=4)

    _write(screen, lambda: screen.lora.writers.toggle_favorite(models), told)


def edit_tags(screen: CacheScreen, models: Named) -> None:
    """Open the form for the tags of these models; those that only some have stay."""
    from lora_tui.screens.edit_tags import EditTagsScreen

    each = [get_marks(screen.db, model_id).tags for model_id in models]
    common = [tag for tag in each[0] if all(tag in tags for tags in each)]
    others = {tag for tags in each for tag in tags} - set(common)
    note = _title(models)
    if others:
        note += f"; tags of only some of them stay: {' '.join(sorted(others))}"

    def changed(change: TagChange | None) -> None:
        if change is None:
            return
        key = key_of(screen.app, "marks.tags")
        parts = [f"+{tag}" for tag in change.add] + [f"-{tag}" for tag in change.remove]
        said = f"{_title(models)}: {' '.join(parts)}; {key} edits them again"
        call = partial(
            screen.lora.writers.change_tags, models, add=change.add, remove=change.remove
        )
        _write(screen, call, lambda _: screen.lora.notify(said, title="Tags"))

    form = EditTagsScreen("Tags", common, tags_in_use(screen.db), terminal_safe(note, limit=200))
    screen.app.push_screen(form, screen.while_alive(changed))


def edit_note(screen: CacheScreen, model_id: str, name: str) -> None:
    """Open the form for the note of a model."""
    from lora_tui.screens.edit_note import EditNoteScreen

    before = get_marks(screen.db, model_id).note
    lora = screen.lora

    def save(text: str, saved: Callable[[], None], failed: Callable[[LoraTuiError], None]) -> None:
        def done(_: None) -> None:
            lora.poll_cache()
            saved()
            key = key_of(lora, "marks.note")
            lora.notify(f"{_short(name)}; {key} edits it again", title="Note kept")

        call = partial(lora.writers.set_note, model_id, name, text, before=before)
        lora.start(call, done, failed=failed, name="note", in_turn=_IN_TURN)

    screen.app.push_screen(EditNoteScreen(_short(name), before, save))


def set_alias(screen: CacheScreen, model_id: str, name: str) -> None:
    """Open the form for an alias of a model; to move or remove one is asked first."""
    from lora_tui.screens.set_alias import SetAliasScreen

    current = {
        alias: moves[-1]
        for alias, moves in alias_histories(screen.db).items()
        if moves[-1].model_id
    }
    own = [alias for alias, move in current.items() if move.model_id == model_id]
    used = {alias: _short(move.name or move.model_id) for alias, move in current.items()}
    key = key_of(screen.app, "marks.alias")

    def chosen(alias: str | None) -> None:
        if alias is None:
            return
        if alias in own:
            _ask(screen, "Remove the alias", f"Remove @{alias} from {_short(name)}?",
                 partial(screen.lora.writers.remove_alias, alias, before=model_id),
                 f"@{alias} was removed; {key} sets it again")  # fmt: skip
        elif alias in used:
            _ask(screen, "Move the alias",
                 f"Move @{alias} from {used[alias]} to {_short(name)}?",
                 partial(screen.lora.writers.move_alias, alias, model_id, name,
                         before=current[alias].model_id),
                 f"@{alias} moved from {used[alias]} to {_short(name)};"
                 f" {key} on that one moves it back")  # fmt: skip
        else:
            call = partial(screen.lora.writers.move_alias, alias, model_id, name, before="")
            said = f"@{alias} is {_short(name)}; {key} and its name remove it"
            _write(screen, call, lambda _: screen.lora.notify(said, title="Alias"))

    form = SetAliasScreen(_short(name), own, used)
    screen.app.push_screen(form, screen.while_alive(chosen))


def _ask(
    screen: CacheScreen, title: str, question: str, call: Callable[[], None], said: str
) -> None:
    """Ask the question; then make the call, and say what it did."""
    from lora_tui.screens.confirm import ConfirmScreen

    def answered(wanted: bool | None) -> None:
        if wanted:
            _write(screen, call, lambda _: screen.lora.notify(said, title="Alias"))

    screen.app.push_screen(ConfirmScreen(title, question), screen.while_alive(answered))


def _write(screen: CacheScreen, call: Callable[[], object], told: Callable[..., None]) -> None:
    """Let the engine write; one after the other, in the order of the keys."""
    lora = screen.lora

    def done(result: object) -> None:
        lora.poll_cache()
        told(result)

    def failed(error: LoraTuiError) -> None:
        lora.show_error(error, title="Not marked")

    lora.start(call, done, failed=failed, name="marks", in_turn=_IN_TURN)


def _title(models: Named) -> str:
    if len(models) == 1:
        return _short(next(iter(models.values())))
    return formats.counted(len(models), "model")


def _short(name: str) -> str:
    return terminal_safe(name, limit=_NAME)
