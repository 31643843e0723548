"""What the address of a document says: its parts, the lists that name it, and the sites of a corpus.

Imports core alone; only the registry names what lives here.
"""
