"""Conversations with expectations, written in markdown: read, checked for what they claim, and run offline."""
