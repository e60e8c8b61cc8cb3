"""The web interface: the only place that imports gradio."""

from dashboard.server import (
    upload_dir as upload_dir,
)  # before gradio, whichever of our modules is asked for first
