"""The commands, one a file, each a function of a `Context`; `cli` parses the words and calls them.

May import everything but `cli` and single screens; what one command needs is imported when it runs.
"""
