"""Duplicates: exact texts, and near-duplicates by verified MinHash candidates.

Imports core alone; only the registry names what lives here.
"""
