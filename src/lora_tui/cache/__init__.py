"""The local SQLite cache, which screens and read commands show: schema, queries, change feed.

May import `opinion`, `curves`, `domain`, and the modules for files and texts at the root; nothing
that uses a network.
"""
