"""Views of the list of models that are kept under a name.

Imports the cache's queries and what writes files; never a screen.
"""
