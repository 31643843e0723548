"""Web pages to their main text, behind one interface.

Imports core alone; only the registry names what lives here.
"""
