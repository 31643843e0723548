"""DAGs: recipes, plans, the runner and its engines."""
