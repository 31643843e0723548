"""Selections toward a target: rounds of centres, draws by importance, the tail of concepts.

Imports core, score and balance; only the registry names what lives here.
"""
