"""Scores of documents toward a target: by rank, by transport, by importance.

Imports core and scorers; only recipes name what lives here.
"""
