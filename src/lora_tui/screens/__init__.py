"""The screens and the small forms of the application, one a file.

May import `tui`, `widgets` and the layers below them, but no network; of other screens only those
that they open (contracts in pyproject.toml).
"""
