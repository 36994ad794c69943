"""The local SQLite cache, which screens and read commands show: schema, queries, change feed.

May import `opinion`, `curves`, `domain`, `locks`, and the modules of the root below them; nothing
that uses a network.
"""
