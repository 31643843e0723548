"""Views of a finished run: why, sample, sweep, diff, export, cards, summary, report, gc.

Imports core, recipe and driver; before, python and cli may import it.
"""
