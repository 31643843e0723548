"""A model and its training: shape, network, optimizers, schedule, loop, checkpoints.

Imports core and trainers.data; evaluate and ablation may import it.
"""
