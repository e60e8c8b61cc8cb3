"""The web interface: the only place that imports gradio."""

from dashboard import private as private  # before gradio, whichever of our modules is asked for first
