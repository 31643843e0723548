"""Exact arithmetic on rows: draws from ids, ranks and budgets, neighbours, greedy covers.

Imports words and operators; every layer may import it.
"""
