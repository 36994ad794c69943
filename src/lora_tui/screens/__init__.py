"""The full screens and the small forms of the application, one a file.

May import widgets, tui, cache and engine.writers; never another screen's methods, never a network.
"""
