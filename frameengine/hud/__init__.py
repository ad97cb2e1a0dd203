"""The live feed of a run for people: events as they are committed, the last frame traces in short, and a log of them."""
