"""Runs as other systems write them, one format each, computed from inputs and outcomes."""
