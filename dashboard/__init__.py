"""The web interface: the only place that imports gradio."""
