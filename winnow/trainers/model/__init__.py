"""A model and its training: shape, network, optimizers, schedule, loop, checkpoints.

Imports core, trainers.data and trainers.online; evaluate, compare and ablation may import it.
"""
