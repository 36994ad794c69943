"""A campaign to break it: processes under faults, and what must hold whatever happened."""
