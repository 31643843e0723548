"""Policies that change what is learned of a token, or the rows.

Imports core, trainers.data and the files of trainers.online.
"""
