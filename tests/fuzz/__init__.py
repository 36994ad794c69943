"""Random bytes, rows and answers at every border of the program."""
