"""Faults that can be injected by seed into a running city: the table, the plan, and the means."""
