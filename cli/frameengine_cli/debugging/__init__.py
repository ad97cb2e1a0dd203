"""The commands of the debugger: the same objects serve the line mode and the screen."""
