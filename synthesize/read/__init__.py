"""From files to a graph: checkpoints, our students, network descriptions (YAML), ONNX models."""
