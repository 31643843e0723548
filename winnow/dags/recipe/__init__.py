"""From YAML or Python to a plan: names, columns, populations, fingerprints, records of runs.

Imports core and the operators it names; every room of dags may import it.
"""
