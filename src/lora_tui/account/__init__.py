"""The account of a profile: sign-in, sign-out, and the stored session.

`login` may import the gateway; the other modules import config, cache and the base modules only.
"""
