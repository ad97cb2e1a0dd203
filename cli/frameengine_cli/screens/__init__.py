"""Screens: pure functions from what was read to what is shown."""
