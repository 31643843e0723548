"""Decisions on measured columns, each clause a column: filter, holdout, decontaminate.

Imports core alone; only recipes name what lives here.
"""
