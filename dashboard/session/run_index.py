"""The runs of a folder for the list: what their manifests say at once, and their main figures, which one
thread computes in the background."""

import logging
import threading
from dataclasses import dataclass, replace

from dashboard.page import names_alone
from explain.analysis.main_figure import MainFigure, main_figure
from explain.run.folder_of_runs import RunEntry, RunFolder
from models.data.remote.location import is_url
from models.errors import UserError


@dataclass(frozen=True)
class ListedRun:
    """`figure`: None until it is computed, and where the run cannot be read. `pending`: whether it is still
    computed."""

    entry: RunEntry
    figure: MainFigure | None
    pending: bool


class RunIndex:
    """`private`: whether the list is for visitors, who get the names of data without their folders."""

    def __init__(self, folder: RunFolder, private: bool):
        self._folder, self._private = folder, private
        self._figures: dict[str, tuple[tuple[int, ...], MainFigure | str]] = {}
        self._lock = threading.Lock()
        self._entries = list[RunEntry]()
        self._working: threading.Thread | None = None
        self._ended = threading.Event()

    def runs(self) -> list[ListedRun]:
        """All runs as they are now, by name. Starts to compute the figures that are missing."""
        with self._lock:
            self._entries = self._folder.entries()
            self._figures = {e.name: f for e in self._entries if (f := self._figures.get(e.name))}
            found = [self._listed(entry) for entry in self._entries]
            working = self._working is not None and self._working.is_alive()
            if any(run.pending for run in found) and not working and not self._ended.is_set():
                self._working = threading.Thread(target=self._compute, daemon=True, name="figures")
                self._working.start()
        return found

    def close(self) -> None:
        self._ended.set()

    def _listed(self, entry: RunEntry) -> ListedRun:
        stamp, found = self._figures.get(entry.name, ((), None))
        figure, problem = None, entry.problem
        if stamp == entry.stamp:
            problem, figure = (found, None) if isinstance(found, str) else (problem, found)
        if self._private:
            data = names_alone(entry.data)
            data = data.rstrip("/").rpartition("/")[2] if is_url(data) else data
            entry = replace(entry, data=data, network=names_alone(entry.network))
        if problem:
            status = entry.status if entry.status == "partial" else "unreadable"
            return ListedRun(replace(entry, status=status, problem=names_alone(problem)), None, False)
        return ListedRun(entry, figure, figure is None)

    def _compute(self) -> None:
        """Every figure that is missing or of an earlier state, one after the other, the newest run first."""
        while not self._ended.is_set():
            with self._lock:
                missing = [e for e in self._entries if not e.problem and self._stamp_of(e.name) != e.stamp]
            if not missing:
                return
            entry = max(missing, key=lambda e: e.date)
            found = _figure(entry)
            with self._lock:
                self._figures[entry.name] = entry.stamp, found

    def _stamp_of(self, name: str) -> tuple[int, ...]:
        return self._figures[name][0] if name in self._figures else ()


def _figure(entry: RunEntry) -> MainFigure | str:
    """Or why there is none, in one line."""
    try:
        return main_figure(entry.folder)
    except UserError as error:
        return str(error).splitlines()[0]
    except Exception as error:  # one run must not end the list
        logging.getLogger("vitrine").exception("while the figure of a run was computed")
        return f"This run cannot be read ({type(error).__name__}): run it again."
