"""Bytes of text as numbers: Arrow string buffers, words, n-grams, hashes.

Imports nothing but errors; every layer may import it.
"""
