"""Decisions on measured columns, each clause a column: filter, holdout, decontaminate.

Imports core alone; only the registry names what lives here.
"""
