"""Compare two traces: align their frames, then their fields, and say what came first and why."""
