"""Serve the page until it is ended: on this machine, to a network, or by a public link; who may open it, and
what they may do."""

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dashboard.app import build
from dashboard.server.logs import bound_logs
from dashboard.server.middleware import LOCAL, FilterRules, guarded
from dashboard.server.permissions import Access
from dashboard.server.proxies import LOOPBACK, Proxies
from dashboard.server.tunnel import Tunnel
from dashboard.server.upload_dir import forget_due, remove_uploads, sweep, uploads_fit
from dashboard.session.context import Context
from dashboard.theme import STYLE, theme
from explain.cli.data_question import ask_for_data
from explain.run.parquet import Damaged
from explain.run.reader import open_run
from models.errors import UserError
from models.memory import give_back_memory, reuse_memory

FIRST_PORT, PORTS = 7860, 40
SESSIONS = 400  # pages whose choices are remembered, the last ones, at half a megabyte each
PATIENCE = 5.0  # seconds that the server has for its end
SWEPT_EVERY = 60.0  # seconds
ENDED_BY = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")  # those that this system has
MCP_MISSING = "--mcp needs another package: pip install 'mcp>=1.21,<2'"
# otherwise it is asked for where a proxy has none
ICON = '<link rel="icon" href="favicon.ico" type="image/svg+xml">'
SPACE = "SPACE_ID"  # Hugging Face names its Spaces so
FRAMED_BY_SPACES = "'self' https://huggingface.co https://*.hf.space"


@dataclass(frozen=True)
class Sharing:
    """`host`: the address to listen at; `root_path`: a path, or a whole address, under which a proxy shows
    the page. `share`: a public link. `auth`: user:password. `public`: no password. `allow_compute`,
    `read_only`: what visitors may do. `mcp`: tools for agents. `behind_proxy`: addresses of reverse proxies
    whose forwarded headers count; by itself, with `root_path`, one on this machine."""

    host: str = ""
    port: int | None = None
    root_path: str = ""
    share: bool = False
    auth: str = ""
    public: bool = False
    allow_compute: bool = False
    read_only: bool = False
    mcp: bool = False
    behind_proxy: str = ""

    def __post_init__(self) -> None:
        """Raises UserError for a port that there is not, and for wishes that exclude each other."""
        if self.port is not None and not 0 < self.port < 65536:
            raise UserError(
                f"--port {self.port}: ports are numbers from 1 to 65535; leave it out for the first free "
                "one from 7860."
            )
        if self.auth and not (self.auth.partition(":")[0] and self.auth.partition(":")[2]):
            raise UserError(
                f"--auth takes user:password, with a colon between them; got {len(self.auth)} letters that "
                "are no such pair."
            )
        for given, other, why in (
            (self.auth, self.public, "--auth asks for a password and --public for none"),
            (self.allow_compute, self.read_only, "--allow-compute allows everything and --read-only nothing"),
            (self.mcp, self.share, "--mcp answers without the password that --share asks for"),
            (self.mcp, self.auth, "--mcp answers without the password of --auth"),
            (self.mcp, self.open, "--mcp is for programs on this machine, not for a network"),
        ):
            if given and other:
                raise UserError(f"{why}: give only one of them.")
        Proxies.parse(self.behind_proxy)

    @property
    def address(self) -> str:
        return (self.host or os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")).strip("[]")

    @property
    def open(self) -> bool:
        """Whether others than this machine reach the page: by a link, a network, or a proxy."""
        return self.share or bool(self.root_path or self.behind_proxy) or self.address not in LOCAL

    @property
    def access(self) -> Access:
        if self.read_only:
            return Access.READER
        return Access.VISITOR if self.open and not self.allow_compute else Access.OWNER

    def login(self) -> tuple[str, str] | None:
        """Who may come in. A page that others reach has a password unless that is waived; a Space has its own
        visitors."""
        if self.auth:
            user, _, password = self.auth.partition(":")
            return user, password
        return (
            ("vitrine", secrets.token_urlsafe(9))
            if self.open and not self.public and SPACE not in os.environ
            else None
        )

    @property
    def proxies(self) -> Proxies:
        """A Space is reached through its host's proxies alone."""
        default = "0.0.0.0/0, ::/0" if SPACE in os.environ else LOOPBACK if self.root_path else ""
        return Proxies.parse(self.behind_proxy or default)

    def rules(self) -> FilterRules:
        name = urlsplit(self.root_path).hostname
        anyone = self.address not in LOCAL or bool((self.root_path or self.behind_proxy) and not name)
        return FilterRules(
            {name} if name else set(),
            anyone,
            FRAMED_BY_SPACES if SPACE in os.environ else "'self'",
            self.mcp,
            uploads_fit,
            self.access.explains,
            self.proxies,
            self.root_path.startswith("https://"),
            origins={"{0.scheme}://{0.netloc}".format(urlsplit(self.root_path)).lower()} if name else set(),
        )


def options(
    sharing: Sharing = Sharing(), login: tuple[str, str] | None = None, rules: FilterRules | None = None
) -> dict[str, Any]:
    """What every start of the server shares, the tests' too."""
    return {
        "theme": theme(),
        "css_paths": STYLE,
        "footer_links": [],
        "run_history": False,
        "allowed_paths": [],
        "max_threads": 8,
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
        "head": ICON,
        "app_kwargs": guarded(rules or sharing.rules()),
    }


def serve(
    run: Path,
    sharing: Sharing = Sharing(),
    weights: Path | None = None,
    device: str = "cpu",
    open_browser: bool = True,
    trainings: Path = Path("trainings"),
    against: Sequence[Path] = (),
    gaze: Path | None = None,
    gaze_model: Path | None = None,
    decoders: Path | None = None,
    allow_data: bool = False,
) -> None:
    """Serve a run until Ctrl-C. Raises UserError for a folder that is no run, a port in use, and wishes that
    cannot be met."""
    reuse_memory()
    bound_logs()
    sweep()
    _has_mcp(sharing)
    opened = open_run(run)
    ask_for_data(opened, allow_data)
    ctx = Context(
        opened,
        weights,
        device,
        trainings,
        _readable(against),
        sharing.access,
        gaze,
        gaze_model,
        decoders,
    )
    port = sharing.port or _free_port()
    if _in_use(port):
        raise UserError(f"Port {port} is in use: leave --port out, or choose another.")
    login, rules = sharing.login(), sharing.rules()
    page = build(ctx)
    page.launch(
        server_port=port,
        prevent_thread_lock=True,
        inbrowser=open_browser and SPACE not in os.environ,
        **options(replace(sharing, port=port), login, rules),
    )
    if page.mcp_error:
        page.close(verbose=False)
        raise UserError(f"{MCP_MISSING} ({page.mcp_error[:120]})")
    print(f"Vitrine is open at {page.local_url}  (Ctrl-C ends it)", flush=True)
    if login:
        print(
            f"user {login[0]}, password {login[1]}"
            if not sharing.auth
            else f"user {login[0]}, with the password of --auth",
            flush=True,
        )
    ended = threading.Event()
    for name in ENDED_BY:
        if (number := getattr(signal, name, None)) is not None:
            signal.signal(number, lambda *_: ended.set())
    ctx.warm_up()
    tunnel = _shared(port, rules, ended) if sharing.share else None
    _wait(ended, tunnel)
    deadline = threading.Timer(PATIENCE, _leave)
    deadline.daemon = True
    deadline.start()
    if tunnel is not None:
        tunnel.close()
    page.close(verbose=False)


def _readable(runs: Sequence[Path]) -> tuple[Path, ...]:
    """Folders of the runs to compare with; one whose files are damaged is left out, and said. Raises
    UserError for a folder that is no run."""
    found = []
    for folder in runs:
        try:
            found.append(open_run(folder).folder)
        except Damaged as error:
            print(f"vitrine: {folder} is left out of Compare: {error}", flush=True)
    return tuple(found)


def _shared(port: int, rules: FilterRules, ended: threading.Event) -> Tunnel | None:
    """The public link, said in one line; the local page goes on whatever becomes of it."""
    tunnel = Tunnel(port)
    print("A public link is being asked for …", flush=True)
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
    """Until it is ended; woken now and then, so that signals are heard on every system."""
    swept = time.monotonic()
    while not ended.wait(0.5):
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
