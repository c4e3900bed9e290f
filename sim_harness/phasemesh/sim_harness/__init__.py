"""A city in a box: SUMO, virtual cabinets, one agent process per signal, and a report."""
