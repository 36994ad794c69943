"""`alerts test` sends a trial message to the configured webhook or command."""

from __future__ import annotations

from lora_tui import clock, formats
from lora_tui.commands.context import Context
from lora_tui.errors import LoraTuiError


def test(context: Context) -> None:
    """Send a trial alert now, over each configured channel."""
    context.require_network()
    from lora_tui.alerts.alert import as_data
    from lora_tui.alerts.sender import required_channels, trial  # late: it loads httpx

    alert = trial(context.profile, clock.now())
    sent: list[str] = []
    failures: list[LoraTuiError] = []
    for channel in required_channels(context.profile):
        try:
            channel.send(alert)
        except LoraTuiError as error:
            failures.append(error)
        else:
            sent.append(channel.words)
    if context.json and not failures:
        context.print_data({"sent": as_data(alert), "channels": sent})
        return
    if sent:
        who = context.profile.alert_sender
        context.say(f"Sent to {formats.some_of(sent)}. Alerts are sent by the {who}.")
    for failure in failures[1:]:
        context.say(f"{failure}{f' ({failure.details})' if failure.details else ''}.")
    if failures:
        raise failures[0]
