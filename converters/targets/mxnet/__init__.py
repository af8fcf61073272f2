"""MXNet symbol and params."""
