from written_rows import write

__all__ = ["write"]
