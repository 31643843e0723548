"""Columns measured on documents: signals, language, tokens, concepts, vectors, neighbours, clusters, overlaps.

Imports core alone; only the registry names what lives here.
"""
