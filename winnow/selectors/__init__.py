"""Operators that choose documents under a budget.

Imports core alone; only the registry names what lives here.
"""
