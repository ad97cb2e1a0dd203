"""Recordings of other systems, one format each, as runs that can be replayed. Nothing of them is lost in silence."""
