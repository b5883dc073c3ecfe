"""A page that shows runs: every episode with its frames, dialogue, rewards and costs."""

from vzgym.evaluation.viewer.live import LiveView
from vzgym.evaluation.viewer.writing import default_folder, write_single_file, write_view

__all__ = ["LiveView", "default_folder", "write_single_file", "write_view"]
