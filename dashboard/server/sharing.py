"""How a page is shared: the address it listens on, who may open it, and what they may do."""

import os
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from dashboard.server.middleware import LOCAL, FilterRules
from dashboard.server.permissions import Access
from dashboard.server.proxies import LOOPBACK, Proxies
from dashboard.server.upload_dir import uploads_fit
from models.errors import UserError

SPACE = "SPACE_ID"  # Hugging Face names its Spaces so
FRAMED_BY_SPACES = "'self' https://huggingface.co https://*.hf.space"


@dataclass(frozen=True)
class Sharing:
    """`host`: the address to listen on; `root_path`: the path or address of the page behind a proxy; `share`:
    a public link; `auth`: user:password; `public`: no password; `allow_compute`, `read_only`: what visitors
    may do; `mcp`: tools for agents; `behind_proxy`: addresses of reverse proxies whose forwarded headers are
    used (default with `root_path`: this machine)."""

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
        """Raises UserError for an invalid port, and for options that exclude each other."""
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
        for option, other, why in (
            (self.auth, self.public, "--auth asks for a password and --public for none"),
            (self.allow_compute, self.read_only, "--allow-compute allows everything and --read-only nothing"),
            (self.mcp, self.share, "--mcp answers without the password that --share asks for"),
            (self.mcp, self.auth, "--mcp answers without the password of --auth"),
            (self.mcp, self.open, "--mcp is for programs on this machine, not for a network"),
        ):
            if option and other:
                raise UserError(f"{why}: give only one of them.")
        Proxies.parse(self.behind_proxy)

    @property
    def address(self) -> str:
        return (self.host or os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")).strip("[]")

    @property
    def open(self) -> bool:
        """Whether other machines reach the page: by a link, a network, or a proxy."""
        return self.share or bool(self.root_path or self.behind_proxy) or self.address not in LOCAL

    @property
    def access(self) -> Access:
        if self.read_only:
            return Access.READER
        return Access.VISITOR if self.open and not self.allow_compute else Access.OWNER

    def login(self) -> tuple[str, str] | None:
        """User and password; None for no login. A page that other machines reach has a password unless
        `public`; a Space has none."""
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
