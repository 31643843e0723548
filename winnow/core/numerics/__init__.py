"""Exact arithmetic on rows: draws from ids, ranks and budgets, shares, neighbours and clusters by direction.

Imports words and operators; every layer may import it.
"""
