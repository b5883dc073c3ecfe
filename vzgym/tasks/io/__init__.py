"""Tasks in files: JSON lines, VideoZoomer's rows, and writing tasks as video files."""
