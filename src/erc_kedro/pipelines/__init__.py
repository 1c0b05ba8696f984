"""The stages, one folder each: `kedro viz` shows how they hang together."""
