"""What is converted: a checkpoint's torch module, or an ONNX file; each becomes one ONNX graph."""
