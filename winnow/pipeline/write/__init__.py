"""Curated documents out: shards of a new row space.

Imports core alone; only the registry names what lives here.
"""
