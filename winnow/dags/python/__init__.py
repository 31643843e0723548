"""Recipes written in Python: rows, steps, functions. Imports every room of dags; only `winnow` itself imports it."""
