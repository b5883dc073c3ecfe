"""Scores of benchmarks: extractors, conventions, grounding metrics, and result files."""
