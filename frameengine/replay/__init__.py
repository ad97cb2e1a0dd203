"""Feed recorded outcomes back to the real node code and compare everything."""
