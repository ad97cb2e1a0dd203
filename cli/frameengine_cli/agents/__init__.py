"""Run somebody's agent as a child: its model calls go through a server of ours, and nothing of it is left behind."""
