"""Duplicates: equal texts, near-duplicates by verified candidates, and what lies close in a space of vectors or codes.

Imports core alone; only the registry names what lives here.
"""
