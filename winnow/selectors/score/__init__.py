"""Selections by a score column or by lot, within budgets and quotas.

Imports core and selectors; only recipes name what lives here.
"""
