"""Which alerts were sent: a small file that outlives the process, and the lock of its sender."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from lora_tui.alerts.alert import Alert, as_data, from_data
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.config.table import Profile
from lora_tui.files import make_private_directory, translate_disk_errors, write_file
from lora_tui.json_values import json_text, mapping, read_object
from lora_tui.locks.file_lock import locked_file

MOST: Final = 2_000
"""Events that are remembered; an older one is past `HORIZON` long before it is forgotten."""
HORIZON: Final = timedelta(days=2)
"""An event that is older than this is not sent any more."""
_MOST_PENDING: Final = 200
_MOST_BYTES: Final = 4 << 20


class SentAlerts:
    """The events that were sent, with their times. One process at a time has it open."""

    def __init__(self, path: Path, now: datetime) -> None:
        """Read the file. `now` is the time from which events are sent if there is none yet."""
        self._path = path
        self.is_new = not path.exists()
        read = read_object(path, _MOST_BYTES)
        began = parse_timestamp(read.get("began"))
        if began is None:
            # a damaged file: send again rather than not at all
            began = now if self.is_new else now - HORIZON
        self._began = began
        self._sent = {
            str(event): str(moment) for event, moment in mapping(read.get("sent")).items()
        }
        pending = read.get("pending")
        found = [from_data(mapping(one)) for one in (pending if isinstance(pending, list) else [])]
        self._pending = {one.event_id: one for one in found if one is not None}

    def since(self, now: datetime) -> datetime:
        """Events from this time on are sent."""
        return max(self._began, now - HORIZON)

    @property
    def pending(self) -> list[Alert]:
        """Those that were kept and not sent yet, in order."""
        return list(self._pending.values())

    def keep(self, alert: Alert) -> None:
        """Keep an alert until it was sent: of an event that nothing else remembers.

        Raises DiskError.
        """
        if alert.event_id not in self._sent:
            self._pending[alert.event_id] = alert
            self.save()

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._sent

    def note(self, event_id: str, now: datetime) -> None:
        """Remember that it was sent. Raises DiskError."""
        self._sent[event_id] = timestamp_text(now)
        self._pending.pop(event_id, None)
        self.save()

    def save(self) -> None:
        """Write the file, durably. Raises DiskError."""
        newest = sorted(self._sent.items(), key=lambda item: item[1])[-MOST:]
        self._sent = dict(newest)
        self._pending = dict(list(self._pending.items())[-_MOST_PENDING:])
        document = {
            "began": timestamp_text(self._began),
            "sent": self._sent,
            "pending": [as_data(alert) for alert in self._pending.values()],
        }
        with translate_disk_errors("The sent alerts can't be noted", self._path):
            write_file(self._path, json_text(document), durable=True)


@contextmanager
def open_sent(
    profile: Profile, now: datetime, *, patience: float = 0.0
) -> Iterator[SentAlerts | None]:
    """The sent alerts of a project; None while another process or thread has them open.

    Waits up to `patience` seconds for that one. Raises DiskError.
    """
    directory = profile.paths.state_dir / "alerts"
    path = directory / f"{profile.key}.json"
    with translate_disk_errors("The sent alerts can't be read", path):
        make_private_directory(directory)
    with ExitStack() as stack:
        with translate_disk_errors("The sent alerts can't be read", path):
            lock = locked_file(directory / f"{profile.key}.lock", patience=patience)
            holder = stack.enter_context(lock)
        yield None if holder is not None else SentAlerts(path, now)
