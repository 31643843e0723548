"""Web pages to their main text, behind one interface."""
