"""Runs that the page starts: each is a process of the command line, which outlives the page and the server.

Beside the run folder NAME lie NAME.log, its output, and NAME.job.json, which holds the fields of its form.
Whenever it is resumed, the command is made from the fields again, and checked."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from dashboard.session.child_process import start_command
from dashboard.session.run_command import FIELDS, checked_name, run_words
from dashboard.session.run_log import LogProgress, read_log
from explain.run.format import MANIFEST
from models.errors import UserError
from models.files.atomic import atomic
from models.files.json_files import build, read_object
from models.process_identity import birth, runs

JOB = ".job.json"


@dataclass(frozen=True)
class RunJob:
    """`values`: the fields of the form; `pid`, `born`: of its process (`models.process_identity`);
    `cancelled`: on the page."""

    values: dict[str, str]
    pid: int = 0
    born: str = ""
    cancelled: bool = False
    name: str = field(default="", compare=False)

    @property
    def alive(self) -> bool:
        return runs(self.pid, self.born)


@dataclass(frozen=True)
class RunState:
    """`state`: running, complete, cancelled, failed, or ended (without a result and without a reason)."""

    job: RunJob
    state: str
    progress: LogProgress


class RunJobs:
    """The runs of one folder that were started from a page."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def all(self) -> list[RunState]:
        """By name. A file that is no job's is left out."""
        for process in self._started.values():
            process.poll()
        names = sorted(path.name.removesuffix(JOB) for path in self.folder.glob(f"*{JOB}"))
        return [self._state(job) for name in names if (job := self._read(name)) is not None]

    def one(self, name: str) -> RunState:
        """Raises UserError where there is none: names from a page are never used as paths."""
        for found in self.all():
            if found.job.name == name:
                return found
        raise UserError(f"There is no run '{name[:80]}' in {self.folder} that was started here.")

    def start(self, values: Mapping[str, str]) -> str:
        """Start the run of a form; returns its name. Raises UserError for values that are not accepted, and
        where it runs already."""
        kept = {key: values[key] for key in FIELDS if values.get(key)}
        words, name = run_words(kept, self.folder), checked_name(kept)
        before = self._read(name)
        if before is not None and before.alive:
            raise UserError(f"{name} is running already: wait, cancel it, or choose another name.")
        if before is None and (self._log(name).exists() or self._file(name).exists()):
            raise UserError(f"{self._log(name)} was not written by this page: choose another name.")
        try:
            self._begin(name, words, kept)
        except OSError as error:
            raise UserError(
                f"{name} cannot be started in {self.folder}: {error.strerror or error}."
            ) from error
        return name

    def _begin(self, name: str, words: list[str], values: dict[str, str]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write(name, RunJob(values))  # where this fails, nothing is started
        with self._log(name).open("wb") as log:
            process = self._started[name] = start_command(words, log, log, own_session=True)
        self._write(name, RunJob(values, process.pid, birth(process.pid)))

    def cancel(self, name: str) -> None:
        """Stop as Ctrl-C does: whole parts are kept, and the same command resumes. Raises UserError where it
        does not run."""
        job = self.one(name).job
        if not job.alive:
            raise UserError(f"{name} is not running: there is nothing to cancel.")
        self._write(name, replace(job, cancelled=True))
        os.kill(job.pid, signal.SIGINT)

    def resume(self, name: str) -> str:
        """Start it again, from its checked fields. Raises UserError as `start`."""
        return self.start({**self.one(name).job.values, "name": name})

    def run_folder(self, name: str) -> Path:
        """The folder of a complete run. Raises UserError where it is not."""
        if self.one(name).state != "complete":
            raise UserError(f"{name} is not complete: it can be opened when it is.")
        return self.folder / name

    def _state(self, job: RunJob) -> RunState:
        progress = read_log(self._log(job.name))
        if job.alive:
            return RunState(job, "running", progress)
        if progress.error:
            return RunState(job, "failed", progress)
        if job.cancelled or progress.stopped:
            return RunState(job, "cancelled", progress)
        complete = (self.folder / job.name / MANIFEST).is_file()  # written last
        return RunState(job, "complete" if complete else "ended", progress)

    def _read(self, name: str) -> RunJob | None:
        try:
            job = build(RunJob, read_object(self._file(name)), name=name)
            checked_name({"name": name})
        except (OSError, ValueError):  # UserError among them
            return None
        return replace(job, values={key: job.values[key] for key in FIELDS if key in job.values})

    def _write(self, name: str, job: RunJob) -> None:
        kept = asdict(job)
        del kept["name"]
        with atomic(self._file(name)) as temporary:
            temporary.write_text(json.dumps(kept), encoding="utf-8")

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}{JOB}"

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"
