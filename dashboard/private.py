"""What must be told to Gradio before it is imported: no analytics, and a folder of our own for uploads that ends with us."""

import atexit
import os
import shutil
import tempfile

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

UPLOADS = "" if "GRADIO_TEMP_DIR" in os.environ else tempfile.mkdtemp(prefix="vitrine-")
"""The folder that was made here; empty where the environment names one, which is left alone."""


def remove_uploads() -> None:
    if UPLOADS:
        shutil.rmtree(UPLOADS, ignore_errors=True)


if UPLOADS:
    os.environ["GRADIO_TEMP_DIR"] = UPLOADS
    atexit.register(remove_uploads)
