"""Checkpoints to ONNX files, for ONNX Runtime and TensorRT: see `python -m ciae_ros.export --help`."""
