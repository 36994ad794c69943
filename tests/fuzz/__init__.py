"""What nobody thought of: made-up bytes, rows and answers against every border."""
