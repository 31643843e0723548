"""Policies that act on the data while a model trains: today the seam that the loop asks, and no policy yet.

Imports core and trainers.data; every later room of trainers may import it.
"""
