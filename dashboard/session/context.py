"""What the tabs share: the run, its model (loaded once, used by one thread at a time), services, and the
components that connect tabs."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache
from PIL import Image

from dashboard.server.permissions import Access
from dashboard.server.uploads import Photos
from dashboard.session.background import Background
from dashboard.session.cancellation import Cancellation
from dashboard.session.decoder_service import DecoderService
from dashboard.session.fair_lock import FairLock
from dashboard.session.gaze_service import GazeService
from dashboard.session.image_sessions import ImageSessions
from dashboard.session.map_queue import MapQueue
from dashboard.session.measuring import Measuring
from dashboard.session.subjects import Subjects
from explain.analysis.findings import Findings, analyze
from explain.analysis.numbers.proposals import NumberFindings, number_findings
from explain.analysis.numbers.run_numbers import measure_all
from explain.run.format import REQUEST
from explain.run.images import network_view, original
from explain.run.model import network_is_here, network_of
from explain.run.outputs.label_sets import LabelRun
from explain.run.outputs.number_run import NumbersRun
from explain.run.reader import RunData
from explain.run.remote.mirrors import mirror_of
from models.domains import FACES, domain_of
from models.errors import UserError
from models.faces.crop import AUTO, OFF, FaceRequest
from models.faces.detectors import DEFAULT, opened
from models.files.shown_paths import shown
from models.shipped import WEIGHTS, architecture

if TYPE_CHECKING:
    import pandas as pd

    from models.classifier import Classifier


MOST_RUNS = 50
LABELS = 16  # findings of single labels that are kept
VISIT = 60.0  # time limit for the work of a visitor, in seconds


@dataclass(eq=False)
class Context:
    """`weights`: a checkpoint to use instead of the one that the run names. `trainings`: the folder of the
    Train tab. `against`: runs to compare with. `gaze`: a folder of `gaze evaluate`; `gaze_model`: a
    checkpoint of `gaze train`. `decoders`: a folder of `invert train`. `access`: what people who open the
    page may do. `network`: instead of the one that the run names. `shared`: whether other machines reach the
    page, or it asks for a password. `threshold`, `positive`: of two classes, where the page begins; `asked`:
    of several labels per image, the number of the label where it begins (-1: that with the most errors).
    `opened`:
    the row that was clicked last; `layer`: the layer that was chosen for live maps; `view`: what Errors
    shows. `faces`: auto or off, whether photos are cropped to a face, empty: as the network says;
    `face_detector`: as after `--face-detector`. `home`: the path of the list of runs, where the server has
    one; `runs`: its folder."""

    run: RunData
    weights: Path | None = None
    device: str = "cpu"
    trainings: Path = Path("trainings")
    against: tuple[Path, ...] = ()
    access: Access = Access.OWNER
    gaze: Path | None = None
    gaze_model: Path | None = None
    decoders: Path | None = None
    network: "Classifier | None" = None
    shared: bool = False
    threshold: float = 0.5
    positive: int = 1
    asked: int = -1
    faces: str = ""
    face_detector: str = DEFAULT
    home: str = ""
    runs: Path | None = None
    cancellation: Cancellation = field(init=False)
    photos: Photos = field(init=False)
    subjects: Subjects = field(init=False)
    sessions: ImageSessions = field(init=False)
    maps: MapQueue = field(init=False)
    background: Background = field(default_factory=Background)
    opened: Any = None
    layer: Any = None
    view: Any = None
    tabs: Any = None
    on_load: Callable[..., None] = lambda *event: None  # (handler, inputs, outputs) when the page arrives
    on_tab: Callable[..., None] = lambda *event, **options: (
        None
    )  # (tab's id, handler, inputs, outputs) when the tab is opened; options of one without the network
    _working: threading.Thread | None = None
    _findings: "LRUCache[int, Findings]" = field(default_factory=lambda: LRUCache(LABELS))
    _lock: FairLock = field(default_factory=FairLock)  # of the network, which may compute long
    _of_findings: threading.RLock = field(default_factory=threading.RLock)
    _classifier: "Classifier | None" = None
    _worked: Findings | NumberFindings | None = None
    _warming: threading.Thread | None = None
    _closed: bool = False
    ended: bool = False
    analyzed: float = 0.0  # fraction of the findings that are computed now

    def __post_init__(self) -> None:
        self.cancellation = Cancellation(None if self.access.computes else VISIT)
        request = self.run.manifest.request
        if (sets := self.run.label_sets) is not None:
            asked = self.run.index if isinstance(self.run, LabelRun) else sets.most_errors
            self.asked, self.run = asked if self.asked < 0 else self.asked, sets.whole
        self.photos = Photos(self.exif, request.bits, request.white, request.alpha)
        self.subjects = Subjects(self.run, self.photos, self.access, self._face_request())
        self.sessions = ImageSessions(self.classifier, self.subjects.photo, self.subjects.face)
        self.maps = MapQueue(self.classifier, self.sessions)

    def _face_request(self) -> FaceRequest | None:
        """Of photos from outside of the run; None where faces are not looked for. Raises UserError for a
        detector that cannot be used."""
        if self.faces not in ("", AUTO, OFF):
            raise UserError(f"--faces '{self.faces[:40]}': the page takes auto or off.")
        wanted = self.faces == AUTO or (not self.faces and self.domain == FACES)
        if not wanted or not self.access.explains:
            return None
        opened(self.face_detector)
        return FaceRequest(detector=self.face_detector)

    @property
    def exif(self) -> str:
        """Whether the run's network gets photos turned as their EXIF orientation says: "apply", or
        "ignore"."""
        return str(self.run.manifest.request.preprocessing.get("exif", "apply"))

    @cached_property
    def findings(self) -> Findings:
        """Of the network's own predictions; of several labels per image, of that where the page begins."""
        return self.findings_of(self.asked)

    def findings_of(self, asked: int) -> Findings:
        """Of several labels per image, those of a label; the last few are kept. Of others, all there are."""
        with self._of_findings:
            sets = self.run.label_sets
            key = asked if sets is not None else -1
            if key not in self._findings:
                self._findings[key] = Findings(self.run if sets is None else sets.label(asked))
            return self._findings[key]

    @cached_property
    def gaze_service(self) -> GazeService:
        return GazeService(self.run, self.classifier, self.gaze, self.gaze_model, self.device)

    @cached_property
    def decoder_service(self) -> DecoderService:
        return DecoderService(
            self.run.manifest.request.weights_hash, self.classifier, self.subjects.picture, self.decoders
        )

    @cached_property
    def measuring(self) -> Measuring:
        return Measuring(self.run, self.classifier)

    @cached_property
    def can_measure(self) -> bool:
        """Whether the network and the images of the run are here, as far as can be said without loading the
        network."""
        first = self.run.ok.index[:1].tolist()
        here = self.network is not None or network_is_here(self.run.manifest, self.weights)
        return here and bool(first) and original(self.run, int(first[0])) is not None

    @cached_property
    def others(self) -> list[Path]:
        """Runs to compare with: those that were named, and, for the owner alone, those that lie beside the
        run."""
        here, named = self.run.folder.resolve(), list(self.against)
        if not self.access.computes or mirror_of(self.run.folder) is not None:
            return named
        beside = sorted(p.parent for p in here.parent.glob(f"*/{REQUEST}") if p.parent != here)
        return named + [p for p in beside if p not in named][:MOST_RUNS]

    @property
    def new_runs(self) -> Path:
        """The folder of the runs that the page starts: beside the opened run; `runs` where that is the one of
        the package, or at a URL."""
        package, folder = Path(__file__).parents[1], self.run.folder
        elsewhere = folder.resolve().is_relative_to(package) or mirror_of(folder) is not None
        return Path("runs") if elsewhere else folder.parent

    @property
    def server_files(self) -> list[Path | str | None]:
        """Files and folders whose paths visitors do not get; also of images that a table names by absolute
        paths."""
        return [
            *_roots(self.run.table["id"].astype(str), self.run.manifest.data_root),
            self.run.folder,
            shown(str(self.run.folder)),
            self.weights,
            self.trainings,
            *self.against,
            *(shown(str(folder)) for folder in self.against),
            self.gaze,
            self.gaze_model,
            self.decoders,
            None if self.face_detector == DEFAULT else Path(self.face_detector),
            self.run.manifest.data_root,
            self.run.manifest.weights or None,
            _file_of(self.run.manifest.source),
            WEIGHTS.parent,
        ]

    def work_out(self, findings: Findings | NumberFindings | None = None) -> bool:
        """Start to compute findings (default: those where the page begins), where they are missing; returns
        whether that still runs. One after the other."""
        wanted = self._first_findings if findings is None else findings
        if wanted.ready:
            return False
        with self._of_findings:
            if self._working is None or (not self._working.is_alive() and self._worked is not wanted):
                self._worked, self.analyzed = wanted, 0.0
                work = threading.Thread(target=self._analyze, args=[wanted], daemon=True, name="analysis")
                self._working = work
                work.start()
            return self._working.is_alive() or self._worked is not wanted

    @property
    def _first_findings(self) -> Findings | NumberFindings:
        """Those where the page begins."""
        if isinstance(self.run, NumbersRun):
            return number_findings(self.run, self.run.index)
        return self.findings

    def _analyze(self, findings: Findings | NumberFindings) -> None:
        steps = findings.compute() if isinstance(findings, NumberFindings) else analyze(findings)
        for fraction in steps:
            self.analyzed = fraction
            if self._closed:
                return

    def end(self) -> None:
        """End what is computed in the background, wait for it, and drop all that is held, whoever still knows
        the context or its run: Gradio keeps a page, and so its handlers, for some time. Neither can be used
        any more."""
        self._closed = True
        self.background.end()
        self.measuring.stop()
        for thread in (self._working, self._warming, self.measuring.thread):
            if thread is not None:
                thread.join()
        run, self.__dict__ = self.run, {"ended": True}  # in one step: whoever meets the end can tell it
        vars(run).clear()

    def seen(self, row: int) -> Image.Image:
        """What the network saw of a row: cropped from the original, or the run's thumbnail."""
        return network_view(self.run, row)

    @cached_property
    def _description(self) -> dict[str, Any]:
        """Of the checkpoint; empty where there is none, or another program wrote it. No torch."""
        from models.training.trained import described

        manifest = self.run.manifest
        shipped = WEIGHTS / f"{manifest.request.model.replace(':', '.')}.safetensors"
        file = self.weights or (shipped if manifest.weights == "shipped" else Path(manifest.weights or "-"))
        return described(file) if file.is_file() else {}

    @property
    def temperature(self) -> float | None:
        """Fitted on the validation data of the checkpoint; None where it is not known."""
        value = self._description.get("metrics", {}).get("temperature")
        return float(value) if value else None

    @property
    def domain(self) -> str:
        """What the network is about (`models.domains`); empty where nothing says it."""
        if self.network is not None:
            return self.network.domain
        manifest = self.run.manifest
        return domain_of(self._description, manifest.request.model if manifest.weights == "shipped" else "")

    def forget(self, who: str) -> None:
        """Drop the photos of a visitor who left, and their sessions."""
        for key in self.photos.forget(who):
            self.sessions.forget({"upload": key})
            self.subjects.forget(key)

    @contextmanager
    def classifier(self) -> Iterator["Classifier"]:
        """The run's network, held for this thread alone; threads get it in the order in which they ask.
        Raises UserError where it cannot be loaded, has other weights, or may not be used."""
        self.access.require_model()
        with self._lock:
            self._classifier = (
                self._classifier or self.network or network_of(self.run.manifest, self.weights, self.device)
            )
            yield self._classifier

    def named(self, classifier: "Classifier") -> tuple[str, str]:
        """The values of --model and --weights for this network; only the owner gets folders of this
        machine."""
        from models.own_code.trusted import names_code
        from models.training.trained import described

        file = Path(classifier.weights)
        if classifier.source and self.access.computes:
            return classifier.source, str(file) if names_code(
                classifier.source
            ) and classifier.weights else ""
        if not file.is_file():
            return classifier.name, ""
        text = str(file) if self.access.computes else file.name
        return (text, "") if described(file) else (architecture(classifier.name), text)

    def warm_up(self) -> threading.Thread | None:
        """Compute the findings, import torch and load the model in the background, in the thread that is
        returned; an error is shown when the model is used."""
        self.work_out()
        if not self.access.explains:
            return None

        def work() -> None:
            measure_all(self.run)
            with suppress(Exception), self.classifier():
                pass

        self._warming = threading.Thread(target=work, daemon=True, name="warm-up")
        self._warming.start()
        return self._warming


def _file_of(source: str) -> Path | None:
    """The file of a network's source: code is named behind it."""
    place = source.rpartition(":")[0] if ".py:" in source else source
    return Path(place) if "/" in place or "\\" in place else None


def _roots(ids: "pd.Series", root: str) -> list[Path]:
    """One file in each folder that holds all images of a disk which are not below `root`."""
    outside = ids[ids.str.match(r"/|[A-Za-z]:|\.\.")]
    folders = {os.path.dirname(os.path.normpath(os.path.join(root, i))) for i in outside}
    disks: dict[str, list[str]] = {}
    for folder in folders:
        disks.setdefault("/".join(folder.split(os.sep)[:2]), []).append(folder)
    return [Path(os.path.commonpath(several), "image") for several in disks.values()]
