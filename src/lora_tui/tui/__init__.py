"""What the application needs besides its screens: base classes, keys, themes, toasts, web mode.

May import widgets.cells, widgets.states, cache, config and account; screens in functions only.
"""
