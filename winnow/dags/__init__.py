"""DAGs of stages: recipe, engines, shapes, driver, looking, before, python; each room imports those before it.

Imports core and, by name, the operators; only cli and `winnow` itself import it.
"""
