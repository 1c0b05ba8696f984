"""What the transformers back-end does in the process of its own: loading, decoding, sampling."""
