"""Go about in a recorded run: places, states, breakpoints, watchpoints, forks."""
