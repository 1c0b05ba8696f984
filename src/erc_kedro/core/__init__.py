"""Pure logic of the project: plain values, numpy and pandas; no files, no frameworks."""
