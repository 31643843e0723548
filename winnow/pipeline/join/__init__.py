"""Annotations that came from elsewhere, joined to documents by key.

Imports core and read; only the registry names what lives here.
"""
