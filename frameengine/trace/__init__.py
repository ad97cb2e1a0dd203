"""The trace file: JSON Lines that grow line by line, prove themselves whole, and give everything back."""
