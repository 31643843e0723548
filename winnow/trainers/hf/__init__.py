"""Weights and policies in the Hugging Face `Trainer`: a subclass to import, and collators for what shards give.

Imports core, trainers.data and trainers.online. Its modules import torch and transformers, so nothing of winnow imports
them before a person asks for one.
"""
