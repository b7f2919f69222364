"""Runs: a folder for each, its record, its log; starting one, resuming one, comparing several."""
