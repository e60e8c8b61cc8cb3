"""The web interface: the only place that imports gradio."""

# Both before gradio, whichever of our modules is asked for first
from dashboard.server import no_stubs as no_stubs
from dashboard.server import upload_dir as upload_dir
