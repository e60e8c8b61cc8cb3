"""The dashboard from Python: it runs beside the program, whose signal handlers and memory settings stay."""

from dataclasses import dataclass
from html import escape
from types import TracebackType
from typing import Any

from dashboard.app import build
from dashboard.server.serving import ServeConfig, options
from dashboard.server.sharing import Sharing
from explain.run.model import as_in_run, require_same_reading
from explain.run.reader import RunData
from explain.run.remote.mirrors import publish_regularly
from models.classifier import Classifier
from models.errors import UserError

NOTEBOOKS = "'self' http://localhost:* http://127.0.0.1:* vscode-webview:"
"""Pages that may embed the dashboard."""


@dataclass(eq=False)
class Dashboard:
    """A running dashboard; `close()`, or leaving a `with` block, ends it."""

    url: str
    _page: Any

    def close(self) -> None:
        self._page.close(verbose=False)

    def __enter__(self) -> "Dashboard":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _repr_html_(self) -> str:
        return (
            f'<iframe src="{escape(self.url)}" style="width:100%;height:900px;border:0" title="Vitrine">'
            "</iframe>"
        )


def opened(run: RunData, net: Classifier | None, port: int | None) -> Dashboard:
    """See `vitrine.dashboard`."""
    network = None
    if net is not None:
        if net.weights_hash != run.manifest.request.weights_hash:
            raise UserError("This network has other weights than the run was made with: pass the run's own.")
        require_same_reading(net, run.manifest)
        network = as_in_run(net, run.manifest)
    publish_regularly(print)
    sharing = Sharing(host="127.0.0.1", port=port)
    page = build(ServeConfig(run.folder, sharing).context(run, network))
    rules = sharing.rules()
    rules.framed_by = NOTEBOOKS
    _, url, _ = page.launch(
        server_port=port,
        prevent_thread_lock=True,
        inbrowser=False,
        inline=False,  # a notebook shows what is returned; Gradio would show the page once more
        **options(sharing, rules=rules),
    )
    return Dashboard(url, page)
