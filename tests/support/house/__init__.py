"""The house rules as functions: each reads a tree from its root and returns the problems, one sentence with file and line each.

They take the root and the tables as arguments, so that `tests/test_tidy.py` can show each of them a planted defect.
"""
