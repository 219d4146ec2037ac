"""Post-training quantisation of any ONNX model or torch module."""
