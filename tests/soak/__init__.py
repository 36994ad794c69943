"""The application in a terminal for a long time, before a backend that fails in drawn ways."""
