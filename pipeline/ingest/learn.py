from pathlib import Path


def learned(path: Path) -> str:
    """Return a mapping."""
    return f"# {path}"
