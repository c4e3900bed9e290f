"""What runs on the box at the intersection: few dependencies, never torch, onnx or SUMO."""
