"""Operators that read, measure, filter, deduplicate and write documents."""
