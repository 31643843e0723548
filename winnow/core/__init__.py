"""The ground floor: identity, storage, errors, shared numerics. Imports no other layer."""
