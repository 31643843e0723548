"""Curated documents out: shards of a new row space. Imports core alone; only recipes name what lives here."""
