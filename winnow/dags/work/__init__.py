"""What a worker does with one task, by shape. Imports core and recipe; engines name it by text alone."""
