"""Views of a finished run: why, sample, sweep, diff, export, summary, report, gc.

Imports core, recipe and driver; before, python and cli may import it.
"""
