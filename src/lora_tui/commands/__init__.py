"""The commands, a few related ones in each file; cli.py parses and calls them."""
