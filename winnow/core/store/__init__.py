"""The only door to the run root: stores, keys, receipts, manifests, parts, file formats, ids.

Imports words and operators; every layer may import it.
"""
