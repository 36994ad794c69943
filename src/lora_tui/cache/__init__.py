"""The local SQLite cache: what the screens and the read commands show, and all that they show."""
