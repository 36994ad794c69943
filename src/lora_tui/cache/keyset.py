"""Reads windows of a long sorted list, and finds the position of a row in it.

A window is sought from the edge of one that was read before (keyset), so scrolling costs the same
anywhere in the list; a jump counts rows from the nearer end. Each key has an index of exactly the
terms of its natural order (schema.py). In every order unknown values come last in both directions,
then the newest first, then the order of arrival.

The reversed order is read from the same index, from its end. Rows with equal keys come in the wrong
order there, so each group of them is reversed again, and a group that a window begins or ends in
is read on its own, forwards.

The numbers of the rows that match a search or filters are kept in a temporary table of the
connection, which serves the windows, the length and the position of a row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Final, NamedTuple

FEW_MATCHES: Final = 1_000
"""Up to this number matches are sorted; more are read in the order of the index."""
MOST_COUNTED: Final = 1_000
"""Up to this number of rows counting costs no more than seeking."""
MOST_KEPT: Final = 5_000
"""Of a window of more rows only the numbers are read: no other is sought from its edges."""

Keys = Mapping[str, object]


class Key(NamedTuple):
    """What a list is sorted by."""

    column: str
    descends: bool
    """Whether its natural direction is descending."""
    may_be_unknown: bool = False
    """Whether it may be NULL."""
    collation: str = ""


class Term(NamedTuple):
    """One term of an order."""

    column: str
    """Empty for the term that puts NULL last."""
    expression: str
    descends: bool


class Range(NamedTuple):
    """A part of an order's index: a condition with the values of its parameters."""

    condition: str
    values: tuple[object, ...]
    fixed: int
    """The number of leading terms that have the same value in the whole range."""


class Order(NamedTuple):
    """An order of a table as SQL, in which the table has the name `l`."""

    table: str
    unique: str
    """The column of the numbers of the rows, which ends every index."""
    key: Key
    descends: bool

    @property
    def index_name(self) -> str:
        """The name of the index, which both directions share.

        Queries name it, because the planner has no statistics and would choose another.
        """
        return f"{self.table}_{self.key.column}_{'desc' if self.key.descends else 'asc'}"

    @property
    def is_reversed(self) -> bool:
        """Whether it is the reverse of the key's natural order, which the index has."""
        return self.descends is not self.key.descends

    @property
    def natural(self) -> Order:
        """The order that the index has."""
        return self._replace(descends=self.key.descends)

    @property
    def key_columns(self) -> str:
        """The columns that `ranges` needs to know of a row; the number of the row is `n`."""
        columns = dict.fromkeys(("created_at", self.key.column))
        return ", ".join((f"l.{self.unique} AS n", *(f"l.{column}" for column in columns)))

    @property
    def terms(self) -> list[Term]:
        """The terms of the order; the last one is unique."""
        column = self.key.column
        order = [Term(column, f"l.{column}{_collate(self.key)}", self.descends)]
        if self.key.may_be_unknown:
            order.insert(0, Term("", f"l.{column} IS NULL", False))
        if column != "created_at":
            order.append(Term("created_at", "l.created_at", True))
        return [*order, Term("n", f"l.{self.unique}", False)]

    def order_by(self, *, backwards: bool = False, fixed: int = 0) -> str:
        """The ORDER BY of the list, or of a `Range` of it; `backwards` reads it from its end.

        Leaves out the first `fixed` terms, so that SQLite uses the index and does not sort.
        """
        return "ORDER BY " + ", ".join(
            f"{term.expression} {'DESC' if term.descends is not backwards else 'ASC'}"
            for term in self.terms[fixed:]
        )

    def ranges(self, row: Keys, *, after: bool) -> list[Range]:
        """The rows before or after a row, as disjoint ranges of the index, the nearest first.

        `row` has the `key_columns` of the row.
        """
        found: list[Range] = []
        same, values = "", tuple[object, ...]()
        for place, term in enumerate(self.terms):
            if not term.column:
                unknown = row[self.key.column] is None
                if unknown is not after:
                    found.append(self.unknown if after else self.known)
                same = f"({term.expression}) = {int(unknown)} AND "
                continue
            value = row[term.column]
            if value is None:
                same += f"{term.expression} IS NULL AND "
                continue
            sign = ">" if term.descends is not after else "<"
            found.append(Range(f"{same}{term.expression} {sign} ?", (*values, value), place))
            # with `=` SQLite would also replace the column in `IS NULL`, and not use that index
            same += f"{term.expression} IS ? AND "
            values = (*values, value)
        return found[::-1]

    def stretches(self, *, backwards: bool) -> list[Range]:
        """The whole order as ranges, the first to be read first."""
        if not self.key.may_be_unknown:
            return [Range("1", (), 0)]
        return [self.unknown, self.known] if backwards else [self.known, self.unknown]

    def same_key(self, row: Keys) -> Range:
        """The rows with the same key as a row that has one."""
        term = self.terms[self._place]
        return Range(
            f"{self._is_known}{term.expression} IS ?", (row[term.column],), self._place + 1
        )

    def beyond_key(self, row: Keys, *, after: bool) -> Range:
        """The rows whose key is known and comes before or after that of a row."""
        term = self.terms[self._place]
        sign = ">" if term.descends is not after else "<"
        condition = f"{self._is_known}{term.expression} {sign} ?"
        return Range(condition, (row[term.column],), self._place)

    def ranges_of_key(self, row: Keys, *, after: bool) -> list[Range]:
        """Those of `ranges` whose rows have the same key as a row that has one."""
        found = self.ranges(row, after=after)
        return [part for part in found if not self.is_by_key(part) and part != self.unknown]

    def is_by_key(self, part: Range) -> bool:
        """Whether the rows of a range may have different keys."""
        return part.fixed <= self._place

    def group(self, row: Keys) -> object:
        """Equal for rows whose keys the index takes for equal."""
        value = row[self.key.column]
        if self.key.collation == "NOCASE" and isinstance(value, str):
            return value.encode("utf-8", "surrogatepass").lower()  # of ASCII only, as in SQLite
        return value

    @property
    def _place(self) -> int:
        """The place of the key among the terms."""
        return int(self.key.may_be_unknown)

    @property
    def _is_known(self) -> str:
        return f"(l.{self.key.column} IS NULL) = 0 AND " if self.key.may_be_unknown else ""

    @property
    def known(self) -> Range:
        """The rows whose key is known, of a key that may be NULL."""
        return Range(f"(l.{self.key.column} IS NULL) = 0", (), 1)

    @property
    def unknown(self) -> Range:
        """The rows whose key is NULL."""
        column = f"l.{self.key.column}"
        return Range(f"({column} IS NULL) = 1 AND {column} IS NULL", (), 2)

    def index_sql(self) -> str:
        """The statement that makes the index."""
        direction = "DESC" if self.key.descends else "ASC"
        terms = [f"{self.key.column}{_collate(self.key)} {direction}"]
        if self.key.may_be_unknown:
            terms.insert(0, f"{self.key.column} IS NULL")
        if self.key.column != "created_at":
            terms.append("created_at DESC")
        return f"CREATE INDEX {self.index_name} ON {self.table} ({', '.join(terms)})"


class KeysetList:
    """The numbers of rows by their position in an order, from 0.

    `total` is counted once; make a new list when the cache has changed.
    """

    def __init__(
        self, db: sqlite3.Connection, order: Order, *, total: int, matches: str | None
    ) -> None:
        """`matches`: the temporary table of the numbers (n) of all rows; None for every row."""
        self._db = db
        self._order = order
        self._matches = matches
        self.total = total
        self._starts: dict[int, Keys] = {}
        self._ends: dict[int, Keys] = {}

    def numbers(self, offset: int, limit: int) -> list[int]:
        """The numbers of at most `limit` rows from `offset` on."""
        limit = min(limit, self.total - offset)
        if limit <= 0:
            return []
        self._refresh_matches()
        end = offset + limit
        behind = self.total - end
        if limit > MOST_KEPT:
            return self._all_numbers(offset, limit)
        if min(offset, behind) <= MOST_COUNTED:
            rows = self._count_to(offset, limit, backwards=behind < offset)
        elif offset in self._ends:
            rows = self._seek(self._ends[offset], limit, after=True)
        elif end in self._starts:
            rows = self._seek(self._starts[end], limit, after=False)
        else:
            rows = self._count_to(offset, limit, backwards=behind < offset)
        if len(rows) == limit:
            self._starts[offset], self._ends[end] = rows[0], rows[-1]
        return [int(str(row["n"])) for row in rows]

    def position(self, row_id: str) -> int | None:
        """The position of the row with this id; None if it is not in the list."""
        self._refresh_matches()
        sql = f"SELECT {self._order.key_columns} FROM {self._order.table} l WHERE l.id = ?"
        row = self._db.execute(sql, [row_id]).fetchone()
        if row is None or not self._is_matched(row["n"]):
            return None
        position = 0
        for part in self._order.ranges(dict(row), after=False):
            position += self._count(part)
        return position

    def _refresh_matches(self) -> None:
        """Find the matches again if another list has used their table."""

    def _is_matched(self, n: int) -> bool:
        if self._matches is None:
            return True
        return (
            self._db.execute(f"SELECT 1 FROM {self._matches} WHERE n = ?", [n]).fetchone()
            is not None
        )

    @property
    def _source(self) -> str:
        order = self._order
        if self._matches is None:
            return f"{order.table} l INDEXED BY {order.index_name}"
        if self._sorts_matches:
            return f"{self._matches} x CROSS JOIN {order.table} l ON l.{order.unique} = x.n"
        return (
            f"{order.table} l INDEXED BY {order.index_name}"
            f" CROSS JOIN {self._matches} x ON x.n = l.{order.unique}"
        )

    def _all_numbers(self, offset: int, limit: int) -> list[int]:
        """Numbers alone, for a reader of so many rows that it seeks none of their neighbours."""
        numbers: list[int] = []
        for part in self._stretches(backwards=False):
            order = self._order.order_by(fixed=part.fixed if part else 0)
            sql = f"SELECT l.{self._order.unique} FROM {self._source} {_where(part)} {order}"
            values = [*(part.values if part else ()), limit - len(numbers), offset]
            found = [int(row[0]) for row in self._db.execute(f"{sql} LIMIT ? OFFSET ?", values)]
            offset = self._left(offset, part, bool(found))
            numbers += found
        return numbers

    def _count_to(self, offset: int, limit: int, *, backwards: bool) -> list[Keys]:
        steps = self.total - offset - limit if backwards else offset
        rows: list[Keys] = []
        for part in self._stretches(backwards=backwards):
            if len(rows) < limit:
                found = self._read(part, limit - len(rows), steps, backwards=backwards)
                steps = self._left(steps, part, bool(found))
                rows += found
        return rows[::-1] if backwards else rows

    def _stretches(self, *, backwards: bool) -> Sequence[Range | None]:
        """The whole list as ranges that the index can be read by; None is all of it."""
        return self._order.stretches(backwards=backwards) if self._is_mirrored else (None,)

    @property
    def _is_mirrored(self) -> bool:
        """Whether the index is read against its direction; few matches are sorted instead."""
        return self._order.is_reversed and not self._sorts_matches

    @property
    def _sorts_matches(self) -> bool:
        return self._matches is not None and self.total <= FEW_MATCHES

    def _left(self, steps: int, part: Range | None, was_reached: bool) -> int:
        """How many rows are still to be skipped after a range."""
        return 0 if was_reached or not steps or part is None else steps - self._count(part)

    def _count(self, part: Range, *, most: int = -1) -> int:
        """How many rows a range has; it is counted up to `most`."""
        sql = f"SELECT count(*) FROM {self._source} {_where(part)}"
        if most >= 0:
            sql = f"SELECT count(*) FROM (SELECT 1 FROM {self._source} {_where(part)} LIMIT {most})"
        return int(self._db.execute(sql, part.values).fetchone()[0])

    def _seek(self, edge: Keys, limit: int, *, after: bool) -> list[Keys]:
        rows: list[Keys] = []
        for part in self._order.ranges(edge, after=after):
            if len(rows) < limit:
                rows += self._read(part, limit - len(rows), 0, backwards=not after)
        return rows if after else rows[::-1]

    def _read(self, part: Range | None, limit: int, steps: int, *, backwards: bool) -> list[Keys]:
        if part and self._is_mirrored and self._order.is_by_key(part):
            return self._read_mirrored(part, limit, steps, backwards=backwards)
        fixed = part.fixed if part else 0
        return self._select(
            part, limit, steps, self._order.order_by(backwards=backwards, fixed=fixed)
        )

    def _read_mirrored(self, part: Range, limit: int, steps: int, *, backwards: bool) -> list[Keys]:
        """A range of the reversed order from an index that has equal keys the other way around."""
        against = self._order.natural.order_by(backwards=not backwards, fixed=part.fixed)
        rows: list[Keys] = []
        if steps:
            edge = self._row_within(part, steps, backwards=backwards)
            if not edge:
                return []
            within = self._order.natural.ranges_of_key(edge[0], after=not backwards)
            group = self._order.same_key(edge[0])
            rows = self._read(group, limit, sum(map(self._count, within)), backwards=backwards)
            part = self._order.beyond_key(edge[0], after=not backwards)
        if len(rows) < limit:
            found = self._select(part, limit - len(rows) + 1, 0, against)
            groups = [list(group)[::-1] for _, group in groupby(found, key=self._order.group)]
            if groups and len(found) > limit - len(rows):  # the last one may not be whole
                last = self._order.same_key(groups.pop()[0])
                missing = limit - len(rows) - sum(map(len, groups))
                groups.append(self._read(last, missing, 0, backwards=backwards) if missing else [])
            rows += [row for group in groups for row in group]
        return rows

    def _row_within(self, part: Range, steps: int, *, backwards: bool) -> list[Keys]:
        """The row so many steps into a range that is read from the index of the other order.

        SQLite walks a whole index twice as fast as a range of it, so the rows whose key is known
        are sought in the whole, unless many others come before them.
        """
        natural = self._order.natural
        if part == self._order.known:
            skipped = 0 if backwards else self._count(self._order.unknown, most=steps)
            if backwards or skipped < steps:
                order = natural.order_by(backwards=not backwards)
                found = self._select(None, 1, skipped + steps, order)
                return [row for row in found if row[natural.key.column] is not None]
        order = natural.order_by(backwards=not backwards, fixed=part.fixed)
        return self._select(part, 1, steps, order)

    def _select(self, part: Range | None, limit: int, steps: int, order: str) -> list[Keys]:
        sql = f"SELECT {self._order.key_columns} FROM {self._source} {_where(part)} {order}"
        values = part.values if part else ()
        found = self._db.execute(f"{sql} LIMIT ? OFFSET ?", [*values, limit, steps])
        return [dict(row) for row in found]


def keep_matches(
    db: sqlite3.Connection,
    table: str,
    question: str,
    select: Callable[[], tuple[str, Sequence[object]]],
) -> int:
    """Fill `temp.TABLE` (n) with the numbers that `select` selects; returns how many there are.

    Does nothing where it was filled for this question and the cache has not changed since.
    """
    (version,) = db.execute("PRAGMA data_version").fetchone()
    db.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} (n INTEGER PRIMARY KEY)")
    db.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS {table}_of (question TEXT, version INTEGER,"
        " changes INTEGER, total INTEGER)"
    )
    kept = db.execute(f"SELECT question, version, changes, total FROM temp.{table}_of").fetchone()
    if kept is not None and tuple(kept)[:3] == (question, version, db.total_changes):
        return int(kept[3])
    db.execute(f"DELETE FROM temp.{table}_of")
    db.execute(f"DELETE FROM temp.{table}")
    sql, values = select()
    total = db.execute(f"INSERT INTO temp.{table} {sql}", values).rowcount
    db.execute(
        f"INSERT INTO temp.{table}_of VALUES (?, ?, ?, ?)",
        [question, version, db.total_changes + 1, total],
    )
    return total


def _where(part: Range | None) -> str:
    return f"WHERE {part.condition}" if part else ""


def _collate(key: Key) -> str:
    return f" COLLATE {key.collation}" if key.collation else ""
