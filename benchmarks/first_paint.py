"""Time from `python launch.py` to a page with its cards, beside the import time of gradio alone. Budget: 6 s
on two cores.

    python benchmarks/first_paint.py [--browser /usr/bin/chromium]
"""

import argparse
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_answered(url: str) -> None:
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).read()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browser", default=shutil.which("chromium"))
    browser_path = parser.parse_args().browser
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import gradio"], check=True)
    print(f"import gradio alone       {time.perf_counter() - began:6.2f} s")
    port = free_port()
    began = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "launch.py", "serve", "--no-browser", "--port", str(port)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    try:
        until_answered(f"http://127.0.0.1:{port}/")
        print(f"launch.py to first answer {time.perf_counter() - began:6.2f} s")
        if browser_path:
            from playwright.sync_api import sync_playwright

            with sync_playwright() as p:
                page = p.chromium.launch(
                    executable_path=browser_path, args=["--headless", "--no-sandbox", "--disable-gpu"]
                ).new_page()
                began = time.perf_counter()
                page.goto(f"http://127.0.0.1:{port}/", wait_until="domcontentloaded")
                page.wait_for_selector(".vt-card")
                print(f"asked for to cards shown  {time.perf_counter() - began:6.2f} s")
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
