"""Changes of one's own models in the project: name, description, status, deletion.

May import the gateway, the cache, and what is below them.
"""
