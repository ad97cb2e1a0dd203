"""A conversation in the terminal: who answers, what is kept of it, what the screen shows, what can be typed."""
