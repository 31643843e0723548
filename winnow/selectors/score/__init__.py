"""Selections by a column or by lot, within budgets and quotas.

Imports core alone; only the registry names what lives here.
"""
