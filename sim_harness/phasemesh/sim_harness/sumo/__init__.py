"""The only package that knows SUMO: networks become intersections, steps of the simulation become readings."""
