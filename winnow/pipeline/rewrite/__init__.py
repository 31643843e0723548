"""Documents rewritten by a language model: the other text, whether it is true to the first, new documents of it.

Operators here import core only, and each other nothing but the columns that they read.
"""
