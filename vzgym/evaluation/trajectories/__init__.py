"""Export of saved episodes as trajectories in other formats: ATIF, OpenAI chat messages, ShareGPT."""

from vzgym.evaluation.trajectories.atif import to_atif
from vzgym.evaluation.trajectories.chat import to_chat
from vzgym.evaluation.trajectories.frames import FrameFiles, FrameURLs
from vzgym.evaluation.trajectories.writing import FORMATS, ExportReport, export_run

__all__ = ["FORMATS", "ExportReport", "FrameFiles", "FrameURLs", "export_run", "to_atif", "to_chat"]
