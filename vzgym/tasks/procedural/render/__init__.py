"""Rendering of procedural videos."""
