"""Central training in torch; its networks are what the export room turns into bundles."""
