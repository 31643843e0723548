"""From losses of arms to verdicts: intervals, power, multipliers, tables.

Imports core and trainers.evaluate; ablation and the looking verbs may import it.
"""
