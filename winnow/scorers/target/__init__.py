"""Scores of documents toward a target: by rank, by transport, by importance.

Imports core alone; only the registry names what lives here.
"""
