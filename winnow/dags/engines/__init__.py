"""Engines: where tasks run. `base` is the seam, `admission` the loop that engines share, `registry` their list.

Imports core alone and names the work function by text; shapes, driver and the rooms after it may import it.
"""
