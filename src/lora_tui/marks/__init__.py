"""One's own marks of models: the file that is the truth, its changes, and its copy in the cache.

May import `cache`, `config`, `domain`, `locks` and what lies below them; uses no network.
"""
