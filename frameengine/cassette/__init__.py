"""Recorded replies as a store: find the one that answers a request, say how it was found, and use each once."""
