"""The guard: pure rules that no policy can bypass."""
