"""Mixtures by proxy runs: many small runs on drawn mixtures, what their losses say of shares, and the best shares.

Imports every other room of the trainers and core; nothing but the registry imports it.
"""
