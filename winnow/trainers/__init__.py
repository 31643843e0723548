"""Operators that train small models and measure what a selection did."""
