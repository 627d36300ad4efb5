"""The command lines of ffmpeg, and its process."""
