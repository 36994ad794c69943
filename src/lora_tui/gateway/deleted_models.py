"""The rows of deleted models of all users, and which files other rows name; for the service role.

When a model was deleted is compared with the server's clock, never with this machine's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from lora_tui.clock import timestamp_text
from lora_tui.domain.rows import FILES_REMOVED_AT, REMOVAL_BEGAN_AT
from lora_tui.errors import BackendError
from lora_tui.gateway.paging import Cursor, Page, PageSize, Row, RowLimit, walk_by_id
from lora_tui.gateway.responses import check
from lora_tui.gateway.rest import Rest, exact, server_time_of
from lora_tui.gateway.retry import repeat

_TABLE: Final = "model_artifacts"
_NOT_REMOVED: Final = f"configuration->>{FILES_REMOVED_AT}"


def server_now(rest: Rest) -> datetime:
    """The server's time, in whole seconds. Raises BackendError where it sends none."""
    what = "read the models"
    response = check(rest.send(rest.select(_TABLE, "id").limit(1)), what)
    moment = server_time_of(response)
    if moment is None:
        raise BackendError(
            f"Could not {what}: the server's answers have no time",
            remedy="check what is in front of the project: a proxy may remove the header Date",
        )
    return moment


def deleted_models(rest: Rest, before: datetime, *, most: int) -> list[Row]:
    """Models that were deleted before a time and whose files are not noted as removed.

    Of all users, with `id`, `user_id`, `name` and `deleted_at`; at most `most`.
    """
    found: list[Row] = []
    for row in _walk(rest, "id,user_id,name,deleted_at", partial(_deleted, before)):
        found.append(row)
        if len(found) >= most:
            break
    return found


def count_deleted_models(rest: Rest) -> int:
    """How many deleted models still have files, as far as their rows tell."""
    query = rest.select(_TABLE, "id", count=exact()).not_.is_("deleted_at", None)
    return rest.counted(query.is_(_NOT_REMOVED, None).limit(1), "count the deleted models")[1] or 0


def named_files(rest: Rest, since: datetime | None = None) -> Iterator[Row]:
    """`id` and `artifacts` of the models of all users, deleted ones too, page by page.

    With `since` only of those that were changed from then on. Raises BackendError where the server
    does not send all that it counts: whoever removes files has to know all of them.
    """

    def changed(query: Any) -> Any:
        return query if since is None else query.gte("updated_at", timestamp_text(since))

    what = "read which files the models name"
    query = changed(rest.select(_TABLE, "id", count=exact()))
    _, total = rest.counted(query.limit(1), what)
    read = 0
    for row in _walk(rest, "id,artifacts", changed):
        read += 1
        yield row
    if total is None or read < total:
        raise BackendError(
            f"Could not {what}: the server does not send all of them",
            details=f"{read} of {'an unknown number' if total is None else total}",
            remedy="nothing to do: it is tried again",
        )


def model_row(rest: Rest, model_id: str) -> Row | None:
    """The row of a model of any owner, deleted or not; None if there is none."""
    query = rest.select(_TABLE, "*").eq("id", model_id).limit(1)
    return next(iter(rest.rows(query, "read the model")), None)


def note_removal(
    rest: Rest,
    model_id: str,
    configuration: Mapping[str, Any],
    *,
    deleted_before: datetime | None = None,
    began: str | None = None,
) -> bool:
    """Write the configuration of a model whose files are not noted as removed yet.

    With `deleted_before` only if it is still deleted, since before that time: the database decides
    this in one step with the change. With `began` only while the row notes a removal that began
    then: not once new files were pushed. False where no row is like that any more.
    """
    query = rest.update(_TABLE, {"configuration": dict(configuration)}).eq("id", model_id)
    query = query.is_(_NOT_REMOVED, None)
    if deleted_before is not None:
        query = query.lt("deleted_at", timestamp_text(deleted_before))
    if began is not None:
        query = query.eq(f"configuration->>{REMOVAL_BEGAN_AT}", began)
    return bool(repeat(lambda: rest.rows(query, "note that the files are removed")))


def _deleted(before: datetime, query: Any) -> Any:
    return query.lt("deleted_at", timestamp_text(before)).is_(_NOT_REMOVED, None)


def _walk(rest: Rest, columns: str, narrowed: Callable[[Any], Any]) -> Iterator[Row]:
    """The rows of a query, in the order of their ids. Raises BackendError if they have no end."""
    size = PageSize()

    def ask(after: Cursor | None, limit: int) -> Page:
        query = narrowed(rest.select(_TABLE, columns))
        if after is not None:
            query = query.gt("id", after.id)
        return rest.page_of(query.order("id").limit(limit), _TABLE, limit)

    bound = RowLimit(_TABLE, lambda: None)
    for rows in walk_by_id(lambda after: size.read(partial(ask, after)), _TABLE):
        bound.add(len(rows))
        yield from rows
