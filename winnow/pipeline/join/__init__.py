"""Annotations that came from elsewhere, joined to documents by key.

Imports core alone; only recipes name what lives here.
"""
