"""A package that builds a NetGraph in Mathematica."""
