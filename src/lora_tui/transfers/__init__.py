"""Downloads: from a plan of files to verified files in place, resumable at any byte."""
