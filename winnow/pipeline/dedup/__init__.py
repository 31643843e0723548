"""Duplicates: exact texts, and near-duplicates by verified MinHash candidates."""
