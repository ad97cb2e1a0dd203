"""The heart: frames, messages and the loop that drives them. Pure: no event loop, no clock, no network, no file."""
