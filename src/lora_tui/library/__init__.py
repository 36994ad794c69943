"""What lies on this disk: found, compared with what it should be, and removed."""
