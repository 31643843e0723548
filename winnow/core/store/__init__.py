"""The only door to the run root: keys, receipts, manifests, parts, Arrow files, ids.

Imports words and operators; every layer may import it.
"""
