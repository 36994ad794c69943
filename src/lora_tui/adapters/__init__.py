"""What the files of an adapter say: configuration, header, and the snippets that load it."""
