"""From an ONNX model to a float network: operators, constants, and where data lies."""
