"""Tells somebody what happened to a run: by a webhook or a command.

May import the harvest (its rule of private addresses), the cache, the gateway and what is below.
"""
