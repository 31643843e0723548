"""The driver of a run: which units exist, are ready, cached or failed, and in what order they start.

Imports recipe, shapes and engines; cli and python may import it.
"""
