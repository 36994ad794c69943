"""The screens and the small forms of the application, one a file.

May import tui, widgets and what reads the cache; never a network, never another screen's methods.
"""
