"""The report: figures and one self-contained page, made from what the other stages left."""
