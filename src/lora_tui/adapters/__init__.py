"""Reads the files of an adapter: configuration and header; writes snippets that load it.

May import `domain`, `text`, `errors`, `files` and, for remote files, `gateway`.
"""
