"""Language models: reading one, its forward pass with quantized products, and its perplexity."""
