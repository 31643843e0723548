"""Operators that choose documents under a budget."""
