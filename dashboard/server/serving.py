"""Serve the page until it is ended: on this machine, to a network, or by a public link."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dashboard.page import Page
from dashboard.server.logs import bound_logs
from dashboard.server.middleware import FilterRules, guarded
from dashboard.server.served import list_of_runs, one_run, runs_in
from dashboard.server.sharing import SPACE, Sharing
from dashboard.server.streams import in_page
from dashboard.server.tunnel import Tunnel
from dashboard.server.upload_dir import forget_due, remove_uploads, sweep
from dashboard.session.context import Context
from dashboard.session.run_pages import end_pages, parent_is_gone
from dashboard.theme import COLORS, STYLE, theme
from explain.analysis.binary.text import format_binary
from explain.analysis.findings import Findings, with_threshold
from explain.cli.data_question import ask_for_data
from explain.run.parquet import Damaged
from explain.run.reader import RunData, open_run
from explain.run.remote.mirrors import publish_all, publish_regularly
from explain.run.trusted_data import allow
from models.errors import UserError
from models.memory import give_back_memory, reuse_memory, share_memory

if TYPE_CHECKING:
    from models.classifier import Classifier

FIRST_PORT, PORTS = 7860, 40
SESSIONS = 400  # pages whose choices are remembered, the last ones
PATIENCE = 5.0  # seconds that the server has for its end
SWEPT_EVERY = 60.0  # seconds
ENDED_BY = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")  # those that this system has
MCP_MISSING = "--mcp needs another package: pip install 'mcp>=1.21,<2'"
# otherwise it is asked for where a proxy has none
ICON = '<link rel="icon" href="favicon.ico" type="image/svg+xml">'


def options(
    sharing: Sharing | None = None,
    login: tuple[str, str] | None = None,
    rules: FilterRules | None = None,
) -> dict[str, Any]:
    """What every start of the server shares, the tests' too."""
    sharing = sharing or Sharing()
    return {
        "theme": theme(),
        "css": COLORS,
        "css_paths": STYLE,
        "footer_links": [],
        "run_history": False,
        "allowed_paths": [],
        "max_threads": 16,
        "max_file_size": "20mb",
        "server_name": f"[{sharing.address}]" if ":" in sharing.address else sharing.address,
        "state_session_capacity": SESSIONS,
        "share": False,
        "enable_monitoring": False,
        "quiet": True,
        "ssr_mode": False,
        "pwa": False,
        "favicon_path": STYLE.parent / "favicon.svg",
        "auth": login,
        "auth_message": "Whoever shared this page has the password." if login else None,
        "mcp_server": sharing.mcp,
        "root_path": sharing.root_path or None,
        "head": ICON + in_page(),
        "app_kwargs": guarded(rules or sharing.rules()),
    }


@dataclass(frozen=True)
class ServeConfig:
    """`run`: a run folder; `weights`: a checkpoint instead of the one that the run names; `trainings`: the
    folder of the Train tab; `against`: runs of the same images, for Compare; `gaze`: a folder of
    `gaze evaluate`; `gaze_model`: a checkpoint of `gaze train`; `decoders`: a folder of `invert train`;
    `allow_data`: read images that the run names though it was not made here; `threshold`, `positive`: of a
    run of two classes, as `explain.analysis.findings.with_threshold` takes them; `label`: of a run of several
    labels per image, the one where the page begins; `measure_trust`: measure in the background how far the
    run's maps can be trusted; `faces`, `face_detector`: as of `Context`."""

    run: Path
    sharing: Sharing = field(default_factory=Sharing)
    weights: Path | None = None
    device: str = "cpu"
    trainings: Path = Path("trainings")
    against: tuple[Path, ...] = ()
    gaze: Path | None = None
    gaze_model: Path | None = None
    decoders: Path | None = None
    allow_data: bool = False
    open_browser: bool = True
    threshold: str = ""
    positive: str = ""
    label: str = ""
    measure_trust: bool = False
    faces: str = ""
    face_detector: str = "lbp"

    def require_no_option_of_one_run(self) -> None:
        """Raises UserError where an option is given that a list of runs cannot have."""
        given = {
            "--weights": self.weights,
            "--against": self.against,
            "--gaze": self.gaze,
            "--threshold": self.threshold,
            "--positive": self.positive,
            "--label": self.label,
            "--measure-trust": self.measure_trust,
            "--mcp": self.sharing.mcp,
        }
        if wrong := [option for option, value in given.items() if value]:
            raise UserError(f"{wrong[0]} is of one run, '{self.run}' is a folder of runs: leave it out.")

    def opened(self, folder: Path) -> Context:
        """Of one of the runs of a folder. Nothing is asked: images of a run of another machine are read with
        `allow_data` alone."""
        run = open_run(folder)
        if self.allow_data and not run.may_read_data:
            allow(run.manifest.data_root, run.table["id"])
        return self.context(run)

    def context(self, run: RunData, network: "Classifier | None" = None) -> Context:
        """What the tabs share. `run`: the folder, opened; `network`: instead of the one that the run names.
        Raises UserError where a run to compare with is none, for a threshold that does not fit the run, and
        where maps are to be measured without the network."""
        if self.measure_trust and not self.sharing.access.explains:
            raise UserError("--measure-trust uses the network, --read-only does not: leave one of them out.")
        threshold, positive = run.threshold, run.positive
        for option, given in (("--threshold", self.threshold), ("--positive", self.positive)):
            if given:
                run.require_probabilities(option)
        if self.threshold or self.positive:
            decided = with_threshold(Findings(run), self.threshold, self.positive)
            threshold, positive = decided.run.threshold, decided.run.positive
            for line in format_binary(decided):
                print(line)
        return Context(
            run,
            self.weights,
            self.device,
            self.trainings,
            _readable(self.against),
            self.sharing.access,
            self.gaze,
            self.gaze_model,
            self.decoders,
            network,
            shared=self.sharing.open or bool(self.sharing.auth),
            threshold=threshold,
            positive=positive,
            faces=self.faces,
            face_detector=self.face_detector,
        )


def serve(config: ServeConfig) -> None:
    """Serve a run, or the runs of a folder, until Ctrl-C. Raises UserError for a folder that holds no run, a
    port in use, and options that cannot be met."""
    reuse_memory()
    share_memory()
    bound_logs()
    sweep()
    _has_mcp(config.sharing)
    runs = runs_in(config.run)
    if runs is not None:
        config.require_no_option_of_one_run()
        served = list_of_runs(runs, config.sharing, options(config.sharing), config.opened)
    else:
        run = open_run(config.run, config.label)
        ask_for_data(run, config.allow_data)
        served = one_run(config.context(run), config.measure_trust)
    port = config.sharing.port or _free_port()
    if _in_use(port):
        raise UserError(f"Port {port} is in use: leave --port out, or choose another.")
    sharing = replace(config.sharing, port=port)
    login, rules = sharing.login(), sharing.rules()
    rules.runs = served.runs
    page = _launched(served.page, sharing, login, rules, config.open_browser)
    ended = _signaled()
    _announce(page.local_url, login, bool(sharing.auth))
    publish_regularly(_warn)
    served.begin()
    tunnel = _shared(port, rules, ended) if sharing.share else None
    _wait(ended, tunnel)
    publish_all(_warn)
    if served.runs is not None:
        served.runs.close()  # their connections would keep the server
    _close(page, tunnel)
    if not served.end():  # the interpreter's end would abort a thread of torch
        _leave()


def _launched(
    page: Page, sharing: Sharing, login: tuple[str, str] | None, rules: FilterRules, open_browser: bool
) -> Any:
    """The page, open. Raises UserError where --mcp cannot be met."""
    page.launch(
        server_port=sharing.port,
        prevent_thread_lock=True,
        inbrowser=open_browser and SPACE not in os.environ,
        **options(sharing, login, rules),
    )
    if page.mcp_error:
        page.close(verbose=False)
        raise UserError(f"{MCP_MISSING} ({page.mcp_error[:120]})")
    return page


def _announce(url: str, login: tuple[str, str] | None, own_password: bool) -> None:
    print(f"Vitrine is open at {url}  (Ctrl-C ends it)", flush=True)
    if login:
        password = "with the password of --auth" if own_password else f"password {login[1]}"
        print(f"user {login[0]}, {password}", flush=True)


def _warn(line: str) -> None:
    print(f"vitrine: {line}", flush=True)


def _signaled() -> threading.Event:
    """Set by each of the signals that end the server."""
    ended = threading.Event()
    for name in ENDED_BY:
        if (number := getattr(signal, name, None)) is not None:
            signal.signal(number, lambda *_: ended.set())
    return ended


def _close(page: Any, tunnel: Tunnel | None) -> None:
    """Close both, or end the process after `PATIENCE`."""
    deadline = threading.Timer(PATIENCE, _leave)
    deadline.daemon = True
    deadline.start()
    if tunnel is not None:
        tunnel.close()
    page.close(verbose=False)


def _readable(runs: Sequence[Path]) -> tuple[Path, ...]:
    """Folders of the runs to compare with; one whose files are damaged is left out with a message. Raises
    UserError for a folder that is no run."""
    folders = []
    for folder in runs:
        try:
            folders.append(open_run(folder).folder)
        except Damaged as error:
            print(f"vitrine: {folder} is left out of Compare: {error}", flush=True)
    return tuple(folders)


def _shared(port: int, rules: FilterRules, ended: threading.Event) -> Tunnel | None:
    """The public link, printed in one line; the local page stays open where there is none."""
    tunnel = Tunnel(port)
    print("Requesting a public link …", flush=True)
    try:
        link = tunnel.open(given_up=ended.is_set)
    except UserError as error:
        print(f"vitrine: {error}", flush=True)
        return None
    name = urlsplit(link).hostname or ""
    rules.names.add(name)
    rules.links.add(name)
    rules.origins.add(f"https://{name}")
    print(
        f"Public link, valid while the server runs (at most 7 days): {link}\n{_as_squares(link)}",
        flush=True,
    )
    return tunnel


def _as_squares(link: str) -> str:
    """A QR code, to be read from the terminal by a phone."""
    import io

    import segno

    text = io.StringIO()
    segno.make(link, error="l").terminal(text, compact=True, border=2)
    return text.getvalue()


def _wait(ended: threading.Event, tunnel: Tunnel | None) -> None:
    """Until it is ended; wakes regularly, so that signals are handled on every system."""
    swept = time.monotonic()
    while not ended.wait(0.5) and not parent_is_gone():
        try:
            forget_due()
            if time.monotonic() - swept >= SWEPT_EVERY:
                swept = time.monotonic()
                sweep()
                give_back_memory()
            if tunnel is not None and tunnel.broken:
                print(
                    "vitrine: the public link has ended; the local page goes on. Start again with --share "
                    "for another link.",
                    flush=True,
                )
                tunnel.close()
                tunnel = None
        except Exception:  # a full disk, no descriptor left: the page goes on
            logging.getLogger("vitrine").exception("while files were swept")


def _has_mcp(sharing: Sharing) -> None:
    if sharing.mcp:
        try:
            import mcp  # noqa: F401
        except ModuleNotFoundError:
            raise UserError(MCP_MISSING) from None


def _leave() -> None:
    """A connection or a computation that does not end must not keep the process."""
    end_pages()
    remove_uploads()
    os._exit(0)


def _in_use(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    """The port that the environment names, or the first free one."""
    if named := os.environ.get("GRADIO_SERVER_PORT"):
        return int(named)
    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        if not _in_use(port):
            return port
    raise UserError(
        f"Ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1} are all in use: choose another with --port."
    )
