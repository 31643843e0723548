"""The ground floor: words, operators, store, numerics, errors. Imports no other layer; every layer may import it."""
