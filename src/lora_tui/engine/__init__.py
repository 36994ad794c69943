"""The calls that change the cache or use the network, for screens and commands.

It may import everything below the screens: sync, transfers, library, gateway, account, cache.
"""
