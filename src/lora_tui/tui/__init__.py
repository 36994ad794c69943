"""What the application needs that is no screen: base classes, themes, toasts, web mode."""
