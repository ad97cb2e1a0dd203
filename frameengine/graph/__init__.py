"""Graphs as data: values, files, node implementations, pictures."""
