"""From a network to machines: keys and site folders."""
