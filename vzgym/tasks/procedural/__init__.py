"""Procedural tasks: timeline, placement, difficulty, rendering, families, and their proof."""
