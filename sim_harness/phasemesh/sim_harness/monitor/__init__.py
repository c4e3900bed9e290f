"""The monitor of the signals of a city, written apart from the guard, the sequencer and the cabinet."""
