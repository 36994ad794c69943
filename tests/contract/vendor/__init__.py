"""The vendor's own client, supabase-py, works on the sandbox as on the hosted service."""
