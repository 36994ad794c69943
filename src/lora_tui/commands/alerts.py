"""`alerts test` sends a trial message to the configured webhook or command."""

from __future__ import annotations

from lora_tui import clock, formats
from lora_tui.commands.context import Context


def test(context: Context) -> None:
    """Send a trial alert now, over each configured channel."""
    context.require_network()
    from lora_tui.alerts.alert import as_data
    from lora_tui.alerts.sender import send, trial  # late: it loads httpx

    alert = trial(context.profile, clock.now())
    channels = send(context.profile, alert)
    if context.json:
        context.print_data({"sent": as_data(alert), "channels": channels})
        return
    who = context.profile.alert_sender
    context.say(f"Sent to {formats.some_of(channels)}. Alerts are sent by the {who}.")
