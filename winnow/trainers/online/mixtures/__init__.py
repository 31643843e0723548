"""Policies that say which domains the next rows come from. Imports core, trainers.data and files of trainers.online."""
