"""What operators see: health, phase, neighbours, decision, metrics."""
