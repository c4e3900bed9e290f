"""The experiments of the dual-memory paper on its own queue network."""
