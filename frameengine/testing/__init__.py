"""For tests: goldens that must replay, runs with scripted models, and snapshots of traces and values."""
