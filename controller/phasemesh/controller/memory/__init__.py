"""Dual memory: which situations count as one, what was learned of them, and the look-up of a decision."""
