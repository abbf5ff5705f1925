"""Results as files: JSON, CSV, Markdown and HTML."""
