"""Tensors in files: arrays, safetensors and published checkpoints."""
