"""Columns measured on each document: signals, language, tokens, vectors, concepts.

Imports core alone; only recipes name what lives here.
"""
