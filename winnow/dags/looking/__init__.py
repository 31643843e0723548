"""What is told of a finished run: why, sample, sweep, diff, export, summary, report.

Imports recipe and core; cli and python may import it.
"""
