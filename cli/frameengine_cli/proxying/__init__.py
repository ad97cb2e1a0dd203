"""A local server between an agent and its model: it records what passes, or answers from a recording. Needs ``[serve]``."""
