"""Lines on stderr about a session that works, but is not stored as the user may expect."""

from __future__ import annotations

import logging
import threading


def warn(line: str) -> None:
    """Log a warning, which commands print; in another thread than the main one an information.

    The application asks the network in threads, while it draws on the terminal.
    """
    is_main = threading.current_thread() is threading.main_thread()
    logging.getLogger("lora_tui.account").log(logging.WARNING if is_main else logging.INFO, line)
