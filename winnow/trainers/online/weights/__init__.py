"""Policies that weigh the tokens of a step. Imports core, trainers.data and the files of trainers.online."""
