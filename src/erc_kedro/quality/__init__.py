"""Great Expectations: suites built from a label set, and the report of holding them up to data."""
