"""From torch to a signed bundle: traced, parity-checked, budgeted."""
