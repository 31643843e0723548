"""Editors: another text beside the old one, every change kept: lines dropped, personal data masked, spelling repaired.

Imports core alone; only the registry names what lives here.
"""
