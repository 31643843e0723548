"""Selections made of selections: union, intersect, difference, phases.

Imports core and selectors; only recipes name what lives here.
"""
