"""What the address of a document says: its parts, the lists that name it, and the sites of a corpus."""
