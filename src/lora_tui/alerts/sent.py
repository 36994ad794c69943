"""Which alerts were sent: a small file that outlives the process, and the lock of its sender."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
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
MOST_PENDING: Final = 2_000
_MOST_BYTES: Final = 4 << 20
_log: Final = logging.getLogger("lora_tui.alerts")


class SentAlerts:
    """The events that were sent, with their times. One process at a time has it open.

    Each channel (the webhook, the command) is noted by itself, so that a failure of one does not
    repeat the other. An event is done when every channel has it.
    """

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
        self._partly = {
            str(event): {str(name): str(moment) for name, moment in mapping(channels).items()}
            for event, channels in mapping(read.get("partly")).items()
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
                with suppress(OSError):
                    file.unlink()
            else:
                found.append(alert)
        return sorted(found, key=lambda alert: alert.at)

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._sent

    def has(self, event_id: str, channel: str) -> bool:
        """Whether the event was sent over this channel."""
        return event_id in self._sent or channel in self._partly.get(event_id, {})

    def add(self, event_id: str, channel: str, now: datetime) -> None:
        """Note in memory that it was sent over this channel; `save` writes it."""
        if event_id not in self._sent:
            self._partly.setdefault(event_id, {})[channel] = timestamp_text(now)

    def save(self, channels: Collection[str] = ()) -> None:
        """Write the file, durably. Raises DiskError.

        `channels`: all that are configured; an event that each of them has is done.
        """
        done = [
            event for event, had in self._partly.items() if channels and had.keys() >= {*channels}
        ]
        for event in done:
            self._sent[event] = max(self._partly.pop(event).values())
        self._sent = dict(sorted(self._sent.items(), key=lambda item: item[1])[-MOST:])
        partly = sorted(self._partly.items(), key=lambda item: max(item[1].values(), default=""))
        self._partly = dict(partly[-MOST:])
        document = {
            "began": timestamp_text(self._began),
            "sent": self._sent,
            "partly": self._partly,
        }
        with translate_disk_errors("The sent alerts can't be noted", self._path):
            write_file(self._path, json_text(document), durable=True)
        for event in done:
            with suppress(OSError):  # else `pending` removes it
                (self._pending_dir / f"{event}.json").unlink(missing_ok=True)


def keep(profile: Profile, alert: Alert) -> None:
    """Keep an alert until it was sent: of an event that nothing else remembers.

    It waits for nobody, also while another thread sends. Raises DiskError.
    """
    directory = _pending_of(_path_of(profile))
    with translate_disk_errors("An alert can't be kept", directory):
        make_private_directory(directory)
        if sum(1 for _ in directory.iterdir()) >= MOST_PENDING:
            _log.warning("an alert was dropped: %d wait to be sent", MOST_PENDING)
            return
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
