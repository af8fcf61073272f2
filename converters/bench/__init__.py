"""Measure how fast files run, and how true they are."""
