"""The signed-in account of a profile: its session, where that is kept, signing in and out."""
