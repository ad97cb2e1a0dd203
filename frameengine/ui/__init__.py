"""What the user's surface shows and does by itself: pure functions over the state's section ``ui``."""
