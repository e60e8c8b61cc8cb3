"""Peak memory of a run against the number of images. Budget: 5 % more for ten times as many.

python benchmarks/memory.py --data FOLDER [--images 20000]
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def peak(data: str, split: str | None, images: int, out: Path) -> float:
    """Peak resident memory of `launch.py run` in MiB."""
    command = [
        sys.executable,
        "launch.py",
        "run",
        "--model",
        "fer_vgg:toon_faces",
        "--data",
        data,
        "--limit",
        str(images),
        "--precision",
        "bf16",
        "--out",
        str(out),
        *(["--split", split] if split else []),
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"the run of {images} images failed")
    return usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split")
    parser.add_argument("--images", type=int, default=20_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        few, many = (
            peak(chosen.data, chosen.split, n, Path(folder, str(n)))
            for n in (chosen.images // 10, chosen.images)
        )
    print(
        f"{chosen.images // 10:,} images {few:.0f} MiB, {chosen.images:,} images {many:.0f} MiB: ratio "
        f"{many / few:.3f} (budget 1.05)"
    )


if __name__ == "__main__":
    main()
