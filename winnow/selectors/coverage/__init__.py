"""Small sets that cover a large pool, with certificates.

Imports core and selectors; only recipes name what lives here.
"""
