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
        self._pending_dir = _pending_of(path)

    def since(self, now: datetime) -> datetime:
        """Events from this time on are sent."""
        return max(self._began, now - HORIZON)

    @property
    def pending(self) -> list[Alert]:
        """Those that `keep` has kept and that were not sent yet, the oldest first."""
        found = []
        for file in self._pending_dir.glob("*.json"):
            alert = from_data(read_object(file, _MOST_BYTES))
            if alert is None or alert.event_id in self._sent:
                file.unlink(missing_ok=True)
            else:
                found.append(alert)
        return sorted(found, key=lambda alert: alert.at)

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._sent

    def note(self, event_id: str, now: datetime) -> None:
        """Remember that it was sent. Raises DiskError."""
        self._sent[event_id] = timestamp_text(now)
        self.save()
        (self._pending_dir / f"{event_id}.json").unlink(missing_ok=True)

    def save(self) -> None:
        """Write the file, durably. Raises DiskError."""
        newest = sorted(self._sent.items(), key=lambda item: item[1])[-MOST:]
        self._sent = dict(newest)
        document = {
            "began": timestamp_text(self._began),
            "sent": self._sent,
        }
        with translate_disk_errors("The sent alerts can't be noted", self._path):
            write_file(self._path, json_text(document), durable=True)


def keep(profile: Profile, alert: Alert) -> None:
    """Keep an alert until it was sent: of an event that nothing else remembers.

    It waits for nobody, also while another thread sends. Raises DiskError.
    """
    directory = _pending_of(_path_of(profile))
    with translate_disk_errors("An alert can't be kept", directory):
        make_private_directory(directory)
        if sum(1 for _ in directory.iterdir()) < _MOST_PENDING:
            text = json_text(as_data(alert))
            write_file(directory / f"{alert.event_id}.json", text, durable=True)


@contextmanager
def open_sent(profile: Profile, now: datetime) -> Iterator[SentAlerts | None]:
    """The sent alerts of a project; None while another process or thread has them open.

    Raises DiskError.
    """
    path = _path_of(profile)
    directory = path.parent
    with translate_disk_errors("The sent alerts can't be read", path):
        make_private_directory(directory)
    with ExitStack() as stack:
        with translate_disk_errors("The sent alerts can't be read", path):
            lock = locked_file(directory / f"{profile.key}.lock")
            holder = stack.enter_context(lock)
        yield None if holder is not None else SentAlerts(path, now)


def _path_of(profile: Profile) -> Path:
    return profile.paths.state_dir / "alerts" / f"{profile.key}.json"


def _pending_of(path: Path) -> Path:
    return path.with_suffix(".pending")
