"""What a person reads after a training: one page for one run, or for several that belong together."""
