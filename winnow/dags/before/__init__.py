"""What is told before a run: plan, estimate, forecasts, cards of operators, checks.

Imports recipe, driver and looking; only cli imports it.
"""
