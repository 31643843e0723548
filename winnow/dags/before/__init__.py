"""What is known before a run: plan, estimate, forecasts, cards of operators, checks.

Imports recipe, engines, driver and looking; cli and python may import it.
"""
