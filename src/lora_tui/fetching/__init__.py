"""Reads what the cache needs from the backend: pages of rows, and the metric points of jobs.

May import `gateway`, `cache`, `domain` and what these import; `sync.py` and `engine` use it.
"""
