"""What can be run: generated grids, benchmark maps of installed packages, and any configuration of SUMO."""
