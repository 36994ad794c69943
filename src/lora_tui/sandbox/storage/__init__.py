"""Supabase Storage as the sandbox plays it: on its `s3` backend, as hosted, or on `file`."""
