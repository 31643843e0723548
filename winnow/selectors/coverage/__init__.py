"""Small sets that cover a large pool, with certificates.

Imports core alone; only the registry names what lives here.
"""
