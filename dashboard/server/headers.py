"""Headers of every answer: what a browser may do with it, and how long it may keep it."""

from dashboard.server.assets import NAMED_BY_CONTENT
from dashboard.server.bodies import Message, Send
from dashboard.server.login import one_cookie

_PAGE = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' "
    "'unsafe-inline'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors "
)
_FILE = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; sandbox"
_YEAR = "public, max-age=31536000, immutable"  # no browser asks again: Gradio would send the file whole


def with_headers(send: Send, path: str, framed_by: str, https: bool) -> Send:
    """`framed_by`: pages that may show this one inside; `https`: it is reached by HTTPS alone."""
    policy = _FILE if path.startswith("/gradio_api/file=") else _PAGE + framed_by
    added = {
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "x-robots-tag": "noindex, nofollow",
        "permissions-policy": "camera=(self), microphone=(), geolocation=()",
        "content-security-policy": policy,
    }
    kept_long = {"cache-control": _YEAR} if NAMED_BY_CONTENT.fullmatch(path) else {}

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = added | (kept_long if message["status"] == 200 else {})
            kept = [(k, v) for k, v in message.get("headers", []) if k.decode("latin-1").lower() not in ours]
            message["headers"] = one_cookie(kept, https, framed_by != "'self'") + [
                (k.encode(), v.encode()) for k, v in ours.items()
            ]
        await send(message)

    return sent
