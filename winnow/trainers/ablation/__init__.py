"""The comparison as a recipe stage: arms, grid of trainings, overlap checks.

Imports every room of trainers; only recipes name what lives here.
"""
