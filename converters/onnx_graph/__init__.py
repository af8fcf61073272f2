"""Read, write, join and simplify ONNX graphs, whatever they compute."""
