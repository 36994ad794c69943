"""What the application needs besides its screens: base classes, themes, toasts, web mode.

May import widgets, cache, config, account and engine.writers; a screen only inside a function.
"""
