"""Operators that train small models and measure what a selection did.

Rooms in the order of the data: data, online, model, evaluate, compare, ablation; each imports core and those before.
`hf` stands beside model, for people who train with transformers.
"""
