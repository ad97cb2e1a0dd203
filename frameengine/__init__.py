"""A deterministic frame engine for LLM agents: record, replay, compare and step through their runs."""

__version__ = "0.1.0"
