"""Trainings that the dashboard starts: each is a process of the command line, which outlives the page and the
server."""

import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from dashboard.session.page_data import checked_data
from models.errors import UserError
from models.own_code.trusted import names_code
from models.program import typed
from models.training.augment import Augmentation
from models.training.progress import Progress
from models.training.recipe import Recipe
from models.training.trained import Trained, find_trained, open_trained

LAUNCH = Path(__file__).parents[2] / "launch.py"
SAFE = re.compile(r"[\w.-]{1,80}")


def command(
    model: str, data: str, name: str, folder: Path, recipe: Recipe, more: dict[str, str] | None = None
) -> list[str]:
    """The command of a training, with only the options that differ from the defaults; `more`: options that
    are no part of a recipe. Raises UserError for a name that is no file name.
    """
    if not SAFE.fullmatch(name) or name.startswith("."):
        raise UserError(f"'{name}' is no name for a training: use letters, digits, '-', '_' and '.'.")
    if not model.strip() or not data.strip():
        raise UserError("A training needs a model and data: a folder, a table, or a data set's name.")
    if names_code(model.strip()):
        raise UserError(
            f"'{model.strip()}' is code, which a page does not run: start it on the command line."
        )
    words = [
        "train",
        "--model",
        model.strip(),
        "--data",
        checked_data(data),
        "--out",
        str(folder / f"{name}.safetensors"),
    ]
    for option, value in (more or {}).items():
        words += [f"--{option.replace('_', '-')}", value.strip()] if value.strip() else []
    plain = Recipe()
    for f in fields(Recipe):
        value = getattr(recipe, f.name)
        if value != getattr(plain, f.name):
            words += [
                "--augment" if f.name == "augmentation" else f"--{f.name.replace('_', '-')}",
                f"{value}",
            ]
    return words


def as_typed(words: list[str]) -> str:
    return typed(words)


class TrainingJobs:
    """The trainings below one folder, whoever started them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._started: dict[Path, subprocess.Popen[bytes]] = {}

    def all(self) -> list[Trained]:
        return find_trained(self.folder)

    def one(self, name: str) -> Trained:
        """Raises UserError where it is gone."""
        return open_trained(self._path(name))

    def start(self, words: list[str]) -> str:
        """Start the command; returns the name of the training, of several seeds the first. Its output goes to
        NAME.log beside the checkpoint. Raises UserError where it runs already."""
        out = Path(words[words.index("--out") + 1])
        seeds = words[words.index("--seeds") + 1].split(",") if "--seeds" in words else []
        files = [out.with_suffix(f".seed{seed}{out.suffix}") for seed in seeds] or [out]
        out.parent.mkdir(parents=True, exist_ok=True)
        if any(before.alive for file in files if (before := Progress.read(file))):
            raise UserError(f"{out.stem} is being trained already: wait, cancel it, or choose another name.")
        with out.with_suffix(".log").open("wb") as log:
            # a session of its own: it keeps running when the page is closed and when the server ends
            self._started[out] = subprocess.Popen(
                [sys.executable, str(LAUNCH), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return files[0].name.removesuffix(".safetensors")

    def cancel(self, name: str) -> None:
        """Stop as Ctrl-C does: the best epoch is kept, and the same command resumes. Raises UserError where
        it does not run."""
        progress = Progress.read(self._path(name))
        if progress is None or not progress.alive:
            raise UserError(f"{name} is not being trained: there is nothing to cancel.")
        os.kill(progress.pid, signal.SIGINT)

    def resume(self, name: str) -> str:
        """Start its command again: it resumes after its last whole epoch. Raises UserError where the command
        is not known."""
        path = self._path(name)
        words = shlex.split(progress.command)[2:] if (progress := Progress.read(path)) else []
        if words[:1] != ["train"] or "--out" not in words:
            raise UserError(f"The command of {name} is not known: resume it on the command line.")
        # into this folder, whatever the file says: the path may be relative to another folder, or of another
        # machine
        stem = re.sub(r"\.seed-?\d+$", "", path.stem) if "--seeds" in words else path.stem
        words = [*_without(words, "--out"), "--out", str(path.with_name(stem + path.suffix))]
        return self.start(words)

    def complaints(self) -> list[str]:
        """Error messages of the processes that failed since the last call."""
        text = []
        for out, process in list(self._started.items()):
            if process.poll() is None:
                continue
            del self._started[out]
            if process.returncode not in (0, 130):
                lines = [
                    x
                    for x in re.split(r"[\r\n]", out.with_suffix(".log").read_text(errors="replace"))
                    if x.startswith("vitrine:")
                ]
                text.append(
                    lines[-1].removeprefix("vitrine: ")
                    if lines
                    else f"{out.stem} ended with code {process.returncode}; see {out.stem}.log."
                )
        return text

    @property
    def waiting(self) -> list[str]:
        """Names of those that were started and have no progress file yet."""
        reporting = {t.progress.pid for t in self.all() if t.progress}
        return [
            out.name.removesuffix(".safetensors")
            for out, process in self._started.items()
            if process.poll() is None and process.pid not in reporting
        ]

    def _path(self, name: str) -> Path:
        """The file of a name that the folder holds: names from a page are never used as paths."""
        for trained in self.all():
            if self.key(trained) == name:
                return trained.path
        raise UserError(f"There is no training '{name}' in {self.folder} any more.")

    def key(self, trained: Trained) -> str:
        """Its name below the folder."""
        return trained.path.relative_to(self.folder).as_posix().removesuffix(".safetensors")


def _without(words: list[str], option: str) -> list[str]:
    """A command without an option and its values, `--option value` and `--option=value`."""
    kept: list[str] = []
    for k, word in enumerate(words):
        if word == option or (k and words[k - 1] == option) or word.startswith(f"{option}="):
            continue
        kept.append(word)
    return kept


def recipe_of(values: dict[str, Any]) -> Recipe:
    """The values of the form as a recipe. Raises UserError for the first that is wrong."""
    by_default = ("learning_rate", "label_smoothing")  # empty: the default
    plain = {k: v for k, v in values.items() if k not in ("augmentation", *by_default)}
    whole = {f.name for f in fields(Recipe) if f.type is int}
    for name, value in plain.items():
        if value is None:
            raise UserError(f"{name.replace('_', ' ')} is empty: give a number.")
        if name in whole:
            plain[name] = int(value)
    rate = values.get("learning_rate")
    return Recipe(
        **plain,
        learning_rate=rate or None,
        label_smoothing=_number(values.get("label_smoothing"), "label smoothing"),
        augmentation=Augmentation.parse(str(values.get("augmentation") or "")),
    )


def _number(value: Any, name: str) -> float | None:
    """Of a text or a number; None for an empty text. Raises UserError for another text."""
    if value is None or not str(value).strip():
        return None
    try:
        return float(value)
    except ValueError:
        raise UserError(f"{name} is '{value}': give a number, or leave it empty.") from None
