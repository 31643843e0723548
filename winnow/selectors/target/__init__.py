"""Selections toward a target. Imports core and selectors; only recipes name what lives here."""
