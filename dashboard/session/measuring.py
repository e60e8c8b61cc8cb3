"""The measurement of how far a run's maps can be trusted: one at a time, in the background, for everybody who
looks at the page. It takes the network for one step at a time, a batch of passes, and then waits behind
whoever asked for the network meanwhile."""

import logging
import threading
import time
from collections.abc import Callable

from dashboard.session.cancellation import in_turns
from dashboard.session.types import HoldClassifier
from explain.quality.known import state_of
from explain.run.reader import RunData
from models.errors import Cancelled, UserError

PATIENCE = 2.0  # seconds that a step has to end, where the server ends
CANCELLED = "Cancelled. What was measured is kept; Measure resumes."


class Measuring:
    """`progress`: of the measurement that runs; `ended`: why the last one gave less than it should, empty
    where it did not."""

    def __init__(self, run: RunData, classifier: HoldClassifier):
        self._run, self._classifier = run, classifier
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self.thread: threading.Thread | None = None
        self.progress = self.ended = ""

    @property
    def running(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    def start(self) -> None:
        """Measure, where that is not done already."""
        self._start(self._measure)

    def start_when_idle(self, busy: Callable[[], bool]) -> None:
        """As `start`, as soon as `busy` returns False; not where all methods are measured."""

        def work() -> None:
            while busy():
                if self._stopped.wait(0.3):
                    raise Cancelled
            if any(state_of(self._run, m) == "unknown" for m in self._run.manifest.request.methods):
                self._measure()

        self._start(work)

    def stop(self) -> None:
        """Cancel; the step that is under way still ends."""
        self._stopped.set()

    def close(self) -> bool:
        """Cancel, and wait a moment; returns whether it has ended."""
        self.stop()
        if self.thread is not None:
            self.thread.join(PATIENCE)
        return not self.running

    def _start(self, work: Callable[[], None]) -> None:
        with self._lock:
            if not self.running:
                self.progress, self.ended = "starting", ""
                self._stopped.clear()
                self.thread = threading.Thread(target=self._run_to_its_end, args=[work], daemon=True)
                self.thread.start()

    def _run_to_its_end(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Cancelled:
            self.ended = CANCELLED
        except UserError as error:
            self.ended = str(error)
        except Exception as error:
            logging.getLogger("vitrine").exception("while maps were measured")
            self.ended = f"That did not work ({type(error).__name__}); the log has more."

    def _measure(self) -> None:
        from explain.quality.small import small_measurement

        with self._classifier() as classifier:
            work = small_measurement(classifier, self._run)
        began = time.monotonic()
        for fraction in in_turns(work.steps(), self._classifier, self._raise_if_stopped):
            left = (time.monotonic() - began) / fraction * (1 - fraction) if fraction else 0.0
            self.progress = f"{100 * fraction:.0f} %, about {left:.0f} s left"
        if work.unread:
            self.ended = f"{work.unread} of {len(work.rows)} images cannot be read and are left out."

    def _raise_if_stopped(self) -> None:
        if self._stopped.is_set():
            raise Cancelled
