"""The engine: a process that changes the cache and uses the network, so that screens need not.

The application has `writers` (what a screen may ask) and `process` (starts the engine, asks it).
The engine has `__main__`, `server` and `requests` (what it does). `protocol` is between them.
Commands need no such process: they use `online` themselves.

It may import everything below the screens: sync, transfers, library, gateway, account, cache.
"""
