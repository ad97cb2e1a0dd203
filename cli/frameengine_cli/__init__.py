"""The command line of frameengine."""
