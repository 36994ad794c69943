"""The checks of `lora-tui doctor`: each returns a verdict, its evidence, and a fix.

May import account, alerts, gateway, cache, config, and the layers below them; no screens.
"""
