"""Records of every tick, replay, and metrics."""
