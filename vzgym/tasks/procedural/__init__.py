"""Procedural tasks: timeline, placement, difficulty, rendering, families, and verification."""
