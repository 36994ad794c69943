"""Faults and oddities of the backend that tests and demos switch on and off.

`POST /_control/faults` merges a JSON object of the settings below; null resets one. With
`path` (a prefix such as `/rest/v1/model_artifacts`) and/or `method` they hold for those requests
only, and the most specific rule wins. `POST /_control/clear` forgets all of them.

A *count* is how many times it happens; true is once, -1 is always.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

DEFAULTS: Final[Mapping[str, Any]] = {
    # Any request
    "latency": 0.0,  # seconds before a request is handled
    "fail_next": 0,  # count of requests answered with `status`
    "status": 503,
    "error_rate": 0.0,  # share of requests answered with `status`, by a seeded random generator
    "retry_after": None,  # value of Retry-After on those answers
    "rate_limit": None,  # {"requests": n, "seconds": s}: 429 and Retry-After beyond it
    "drop_after": None,  # close the connection after so many bytes of an answer (0: none)
    "drop_request_after": None,  # close the connection after so many bytes of a request's body
    "drop_next": 1,  # count of closed connections
    "malformed": 0,  # count of JSON answers that are cut off in the middle
    "throttle": None,  # bytes a second, each direction, a request
    # Bad answers (middleware.py)
    "answer_with": None,  # which body the answers of `fail_next` and `error_rate` have
    "chunked": 0,  # count of answers in chunks, without their length
    "compressed": 0,  # count of answers in gzip that the client did not ask for
    "trickle": None,  # seconds for which a body comes at two bytes a second, then the rest at once
    "interim_answers": 0,  # number of 103 answers before each answer
    "header_lines": 0,  # number of extra header lines
    "repeat_page": False,  # each page of a table is the first one again
    "count_off": 0,  # added to the total count of a table
    "count_times_out": 0,  # count of exact counts that time out in the database (57014)
    "lone_surrogates": 0,  # count of JSON answers whose names hold a lone surrogate
    # Files (signed downloads and the worker's presigned ones)
    "ignore_range": False,  # answer 200 with the whole file
    "change_file_midway": 0,  # count of downloads during which the object is replaced by another
    "flip_bit": 0,  # count of answers with one bit wrong
    "flip_at": None,  # offset in the file of the wrong byte; by default the middle of the answer
    "wrong_length": 0,  # serve the file as if it were so many bytes shorter
    "wrong_part_etag": 0,  # count of parts over S3 that are confirmed with the ETag of other bytes
    # Life times, in seconds
    "access_token_seconds": 3600,
    "session_starts_after": None,  # seconds until a new session becomes valid
    "session_secret": None,  # a new signing key: sessions signed before become invalid
    "refresh_reuse_seconds": 10,
    "signed_url_seconds": None,  # overrides what the client asks for
    "presigned_seconds": 86_400,
    "upload_seconds": 86_400,  # a resumable upload's address
    "clock_offset": 0.0,  # seconds added to the sandbox's clock, to make things expire
    # Limits
    "max_rows": 1000,
    "standard_upload_limit": 50 * 1024 * 1024,  # bytes in one request
    "project_upload_limit": None,  # bytes of any upload; where there is none, the bucket's limit
    # Oddities that clients must accept
    "numerics_as_strings": False,
    "plain_timestamps": False,  # `2026-11-23 09:16:55.59+00`, as some stacks write them
    "signed_url_key": "signedURL",  # some stacks answer `signedUrl`
    # The GPU worker
    "worker_planned_endpoint": False,
    "worker_planned_status": 404,  # what a worker without that endpoint answers
    "vanish": False,  # true, or a list of external job ids: 404, the result is lost
    "vanish_files": False,  # the same for the files behind presigned URLs
}


class UnknownSettingError(ValueError):
    """A setting that does not exist; the message lists those that do."""


class Faults:
    """The rules in force; thread-safe."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._seed = seed
        self.clear()

    def clear(self) -> None:
        """Switch every fault off."""
        with self._lock:
            self._rules: dict[tuple[str, str], dict[str, Any]] = {}
            self._random = random.Random(self._seed)
            self._recent: deque[float] = deque()

    def merge(self, settings: Mapping[str, Any]) -> None:
        """Switch settings on; None switches one off. Raises UnknownSettingError."""
        given = dict(settings)
        scope = (str(given.pop("path", None) or ""), str(given.pop("method", None) or "").upper())
        unknown = sorted(given.keys() - DEFAULTS.keys())
        if unknown:
            raise UnknownSettingError(
                f"no setting {', '.join(unknown)}; there are {', '.join(DEFAULTS)}"
            )
        with self._lock:
            rule = self._rules.setdefault(scope, {})
            if "drop_after" in given or "drop_request_after" in given:
                rule.pop("drop_next", None)
            for name, value in given.items():
                if value is None:
                    rule.pop(name, None)
                else:
                    rule[name] = value

    def rules(self) -> list[dict[str, Any]]:
        """What is switched on, for display."""
        with self._lock:
            return [
                {"path": path, "method": method, **rule}
                for (path, method), rule in self._rules.items()
                if rule
            ]

    def get(self, name: str, path: str = "", method: str = "") -> Any:
        """The value of a setting for a request, or its default."""
        with self._lock:
            rule = self._rule(name, path, method)
            return DEFAULTS[name] if rule is None else rule[name]

    def take(self, name: str, path: str = "", method: str = "") -> bool:
        """Take one from a count; False if none is left."""
        with self._lock:
            rule = self._rule(name, path, method)
            if rule is None:
                # A default count belongs to the rule that switched its fault on.
                if not DEFAULTS[name]:
                    return False
                rule = self._rule("drop_after", path, method) or self._rule(
                    "drop_request_after", path, method
                )
                if rule is None:
                    return False
            count = int(rule.get(name, DEFAULTS[name]))
            if count > 0:
                rule[name] = count - 1
            return count != 0

    def fails_at_random(self, path: str, method: str) -> bool:
        """Whether this request fails at random, by `error_rate`."""
        rate = float(self.get("error_rate", path, method))
        if not rate:
            return False
        with self._lock:
            return self._random.random() < rate

    def wait_for_rate_limit(self, path: str, method: str) -> float | None:
        """The seconds to wait by `rate_limit`; None if the request is within it."""
        limit = self.get("rate_limit", path, method)
        if limit is None:
            return None
        seconds = float(limit.get("seconds", 1))
        with self._lock:
            moment = time.monotonic()
            while self._recent and self._recent[0] <= moment - seconds:
                self._recent.popleft()
            if len(self._recent) < int(limit["requests"]):
                self._recent.append(moment)
                return None
            return max(0.0, self._recent[0] + seconds - moment)

    def _rule(self, name: str, path: str, method: str) -> dict[str, Any] | None:
        best: tuple[tuple[int, int], dict[str, Any]] | None = None
        for (prefix, only), rule in self._rules.items():
            if name not in rule or not path.startswith(prefix) or (only and only != method):
                continue
            weight = (len(prefix), len(only))
            if best is None or weight > best[0]:
                best = (weight, rule)
        return None if best is None else best[1]
