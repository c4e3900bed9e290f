"""Learners: one readable file each."""
