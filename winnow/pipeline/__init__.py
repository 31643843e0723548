"""Operators that read, measure, filter, deduplicate, join and write documents.

Imports core alone; only the registry names what lives here.
"""
