"""Quantised ONNX models."""
