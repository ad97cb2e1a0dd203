"""The shipped roles, one module each."""
