"""What the tabs share: the run, its model (loaded once, used by one thread at a time), and the components they talk through."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from dashboard.stops import Stops
from explain.pictures import original, seen
from explain.run_data import RunData
from explain.run_network import architecture, network_of

if TYPE_CHECKING:
    from models.classifier import Classifier


@dataclass(eq=False)
class Context:
    """`weights`: a checkpoint to use instead of the one that the run names. `opened`: the row that was clicked last. `trainings`: the folder
    of the Train tab."""

    run: RunData
    weights: Path | None = None
    device: str = "cpu"
    trainings: Path = Path("trainings")
    stops: Stops = field(default_factory=Stops)
    opened: Any = None
    tabs: Any = None
    on_load: Callable[..., None] = lambda *event: None  # (handler, inputs, outputs) when the page arrives
    on_tab: Callable[..., None] = lambda *event: None  # (tab's id, handler, inputs, outputs) when the tab is opened
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _classifier: "Classifier | None" = None

    def original(self, row: int) -> Image.Image | None:
        """The picture of a row of the run, where its data is still here."""
        return original(self.run, row)

    def seen(self, row: int) -> Image.Image:
        """What the network saw of a row: cropped from the original, or the run's thumbnail."""
        return seen(self.run, row)

    @cached_property
    def temperature(self) -> float | None:
        """That the checkpoint's training fitted on validation; None where it is not known. No torch."""
        from models.training.trained import described

        manifest = self.run.manifest
        shipped = Path(__file__).parent.parent / "models" / "weights" / f"{manifest.request.model.replace(':', '.')}.safetensors"
        file = self.weights or (shipped if manifest.weights == "shipped" else Path(manifest.weights or "-"))
        found = described(file).get("metrics", {}).get("temperature") if file.is_file() else None
        return float(found) if found else None

    @contextmanager
    def classifier(self) -> Iterator["Classifier"]:
        """The run's network, held for this thread alone. Raises UserError where it cannot be loaded or is another one."""
        with self._lock:
            self._classifier = self._classifier or network_of(self.run.manifest, self.weights, self.device)
            yield self._classifier

    def named(self, classifier: "Classifier") -> tuple[str, str]:
        """What to write after --model and --weights for this network."""
        from models.training.trained import described

        file = Path(classifier.weights)
        if not file.is_file():
            return classifier.name, ""
        return (str(file), "") if described(file) else (architecture(classifier.name), str(file))

    def warm_up(self) -> None:
        """Import torch and load the model while the page is being looked at; failures are told when they matter."""

        def work() -> None:
            with suppress(Exception), self.classifier():
                pass

        threading.Thread(target=work, daemon=True, name="warm-up").start()
