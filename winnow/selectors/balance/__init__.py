"""Selections that even out concepts and clusters.

Imports core and coverage; only the registry names what lives here.
"""
