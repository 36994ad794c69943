"""What the application needs besides its screens: base classes, themes, toasts, web mode.

May import `widgets` and the layers below them, and `sandbox`; a screen only inside a function.
"""
