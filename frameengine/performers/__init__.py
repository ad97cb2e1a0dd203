"""Those who answer effects: live, scripted, replaying, faulty. The only place, with the CLI, that touches the world."""
