"""Local plans that need no policy and no neighbour."""
