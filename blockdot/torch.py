"""PyTorch: models whose linear layers multiply as a unit does, bit for bit, and train; extra ``torch``."""

try:
    from blockdot.frameworks.quantized_product import QuantizedProduct
    from blockdot.frameworks.torch_linear import BackwardProducts, QuantizedLinear, quantize_model
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError(
        "torch must be installed for blockdot.torch, not missing: pip install 'blockdot[torch]'"
    ) from error

__all__ = ["BackwardProducts", "QuantizedLinear", "QuantizedProduct", "quantize_model"]
