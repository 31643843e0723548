"""Scorers: one number per document, a column that says how much of something it has. Selectors decide.

Imports core alone; only the registry names what lives here.
"""
