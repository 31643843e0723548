"""Policies that act on the data while a model trains: what they are told and shown, and what they answer.

Imports core and trainers.data; every later room of trainers may import it.
"""
