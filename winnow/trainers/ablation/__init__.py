"""Stages of recipes that train: the comparison with its grid and overlap checks, and one model alone.

Imports every room of trainers; only recipes name what lives here.
"""
