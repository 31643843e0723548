"""What a trained model is worth: targets, probes, losses, choices.

Imports core, trainers.data and trainers.model; compare and ablation may import it.
"""
