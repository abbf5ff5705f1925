"""What a format and a unit make of a language model's perplexity, against what they cost."""
