"""Tests of the account: signing in and out, and which account a command uses."""
