"""One file per shape of operator: what the driver starts, what a worker does, and what is sent between them.

Imports recipe, engines and core; driver, looking, before and python may import it.
"""
