"""Selections made of selections: union, intersect, difference, phases.

Imports core and score; only the registry names what lives here.
"""
