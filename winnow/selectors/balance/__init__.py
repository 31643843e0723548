"""Selections that even out topics, concepts and clusters.

Imports core and selectors; only recipes name what lives here.
"""
