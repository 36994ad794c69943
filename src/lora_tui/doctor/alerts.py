"""The check of a profile's alerts. It reads settings only: `lora-tui alerts test` sends one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from lora_tui import formats
from lora_tui.alerts.alert import Shape, shape_of
from lora_tui.alerts.command import words_of
from lora_tui.config.addresses import is_public_host
from lora_tui.config.table import ALERT_SENDERS, Profile
from lora_tui.doctor.findings import Finding, attempt, failed, ok, skipped, warning
from lora_tui.text import terminal_safe

_NAME: Final = "alerts"
_APPLICATION, _HARVEST = ALERT_SENDERS


def check_alerts(profile: Profile, environment: Mapping[str, str] = os.environ) -> Finding:
    """Check the webhook's address, as far as it tells without the network, and the command."""
    return attempt(_NAME, lambda: _check(profile, environment))


def _check(profile: Profile, environment: Mapping[str, str]) -> Finding:
    channels = []
    if profile.alert_url:
        url = profile.alert_url.reveal()
        host = urlsplit(url).hostname or ""
        if not profile.allow_private_urls and not is_public_host(host):
            return failed(
                _NAME,
                "the webhook is at a private address, so no alert is sent",
                "if that is meant, set allow_private_urls = true in the profile",
            )
        channels.append(f"a webhook ({Shape(profile.alert_format or shape_of(url)).value})")
    if profile.alert_command:
        program = words_of(profile.alert_command)[0]
        if shutil.which(program, path=environment.get("PATH")) is None:
            return failed(_NAME, *_why_not(program))
        channels.append(f"the command {terminal_safe(os.path.basename(program), limit=60)}")  # noqa: PTH119 - of a command line
    if not channels:
        if profile.alert_limit is not None or profile.alert_format is not None:
            return warning(
                _NAME,
                "neither a webhook nor a command is set, so no alert is sent",
                "`lora-tui config set alert_url` asks for the URL of a webhook",
            )
        return skipped(_NAME, "no alerts are configured")
    seen = f"{formats.some_of(channels)}; sent by the {profile.alert_sender}"
    if profile.alert_limit is not None and profile.alert_sender == _HARVEST:
        return warning(
            _NAME,
            f"{seen}, which does not know the month's spending, so alert_limit has no effect",
            f"set alert_sender to {_APPLICATION}, or remove alert_limit",
        )
    return ok(_NAME, f"{seen}; `lora-tui alerts test` tries it")


def _why_not(program: str) -> tuple[str, str]:
    """Why a program can't be run, and what to do about it."""
    shown = terminal_safe(program, limit=100)
    if os.path.exists(program):  # noqa: PTH110 - False where it can't be seen
        if os.path.isdir(program):  # noqa: PTH112
            return f"the command {shown} is a directory", "correct alert_command"
        return f"the command {shown} is not executable", f"run `chmod +x {shown}`"
    return f"there is no program {shown}", "correct alert_command; an absolute path is safest"
