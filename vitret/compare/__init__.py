"""The arena: rows, tables, paired tests and pages."""
