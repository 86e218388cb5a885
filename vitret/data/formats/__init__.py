"""Readers of official lists and ground truth: one module a format, pure functions from a path to tables."""
