"""Bundles, the ONNX session, and the choice of a stage from its scores."""
