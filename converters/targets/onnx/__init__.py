"""The ONNX file that ships."""
