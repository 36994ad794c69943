"""Signed links of the files in the queue, made for many files in one request.

Links are secrets: they are kept in memory only. A link that is refused is discarded, and the next
one is made for its file alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from lora_tui.errors import LoraTuiError

MOST_AT_ONCE: Final = 100
"""Links that are made in one request."""
_USED_SECONDS: Final = 3000.0
"""A link is valid for an hour; an older one is not used for a file that begins."""


@dataclass(eq=False)
class _Request:
    """One request for links, made in a thread of its own."""

    paths: Collection[str]
    answered: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


class Links:
    """The links of one process. Safe to use from several threads."""

    def __init__(
        self,
        sign: Callable[[str], str],
        sign_many: Callable[[Sequence[str]], Mapping[str, str | LoraTuiError]],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`sign_many` asks once; it may leave out paths, which are then signed alone."""
        self._sign, self._sign_many, self._now = sign, sign_many, now
        self._lock = threading.Lock()
        self._links: dict[str, tuple[float, str]] = {}
        self._asked: dict[str, _Request] = {}

    def request(self, path: str, others: Callable[[], Collection[str]]) -> None:
        """Have the link of an object made, if there is none, and those of `others` with it.

        Returns at once.
        """
        with self._lock:
            if self._is_covered(path):
                return
        more = others()
        with self._lock:
            if self._is_covered(path):  # by another thread, meanwhile
                return
            wanted = [path, *(other for other in more if not self._is_covered(other))]
            request = _Request(list(dict.fromkeys(wanted))[:MOST_AT_ONCE])
            self._asked.update(dict.fromkeys(request.paths, request))
        threading.Thread(target=self._ask, args=(request,), name="links", daemon=True).start()

    def get(self, path: str) -> str:
        """The link of an object; waits for the request that covers it, or makes one.

        Raises what `sign` and `sign_many` raise.
        """
        with self._lock:
            request = self._asked.get(path)
        if request is not None:
            request.answered.wait()
            with self._lock:
                if self._asked.get(path) is request:
                    del self._asked[path]  # the next attempt asks again
            if request.error is not None:
                raise request.error
        with self._lock:
            _, link = self._links.get(path, (0.0, None))
        if link is None:
            link = self._sign(path)
            with self._lock:
                self._links[path] = (self._now(), link)
        return link

    def discard(self, path: str) -> None:
        """Forget the link of an object, because it was refused or is not needed any more."""
        with self._lock:
            self._links.pop(path, None)

    def _is_covered(self, path: str) -> bool:
        request = self._asked.get(path)
        if request is not None and not request.answered.is_set():
            return True
        made_at, _ = self._links.get(path, (None, ""))
        if made_at is not None and self._now() - made_at < _USED_SECONDS:
            return True
        self._links.pop(path, None)
        self._asked.pop(path, None)  # a request that failed
        return False

    def _ask(self, request: _Request) -> None:
        links: dict[str, str] = {}
        paths = list(request.paths)
        try:
            answers = self._sign_many(paths)
            links = {
                path: link
                for path in paths
                if isinstance(link := answers.get(path), str)  # errors: signed alone
            }
        except BaseException as error:
            request.error = error  # raised by each file that waits for it
        with self._lock:
            moment = self._now()
            self._links.update((path, (moment, link)) for path, link in links.items())
            if request.error is None:
                for path in paths:
                    self._asked.pop(path, None)
        request.answered.set()
