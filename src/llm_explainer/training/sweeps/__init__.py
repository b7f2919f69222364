"""Sweeps: the same run again and again, with other settings, and a table of what came of it."""
