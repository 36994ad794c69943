"""Configuration: which project, which account, which directories, which preferences."""
