"""The debugger's screen: panels over one place of a run, moved by the commands of the line mode."""
