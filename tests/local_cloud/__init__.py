"""An AWS of our own on loopback: see ``cloud``."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The repository."""
