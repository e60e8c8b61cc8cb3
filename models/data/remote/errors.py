"""Errors of remote file systems in one line."""

import time
from threading import Lock

from models.errors import UserError

PACKAGES = {
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
    "gcs": "gcsfs",
    "gs": "gcsfs",
    "hf": "huggingface_hub",
    "http": "aiohttp",
    "https": "aiohttp",
    "s3": "s3fs",
    "s3a": "s3fs",
    "sftp": "paramiko",
    "ssh": "paramiko",
}
"""Protocol -> the package of its driver."""
CREDENTIALS = {
    "abfs": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "hf": "HF_TOKEN",
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or FSSPEC_S3_ANON=true for public data",
}
"""Protocol -> variables of the environment with its credentials."""
WAIT = 30.0
"""Seconds for which a server that did not answer is not asked again."""
_SILENT: dict[str, tuple[float, str]] = {}
_LOCK = Lock()


class Unreachable(UserError):
    """A server does not answer: the same may work later, for all of its files."""

    def __init__(self, message: str):
        """`message`: of the error, also within that of a process that reads images for a training."""
        super().__init__(message.strip().rpartition(f"{type(self).__name__}: ")[2])


def unreachable_until_now(url: str) -> None:
    """Raises `Unreachable` where the server did not answer a moment ago: thousands of images must not wait
    for it one by one."""
    until, message = _SILENT.get(_server(url), (0.0, ""))
    if time.monotonic() < until:
        raise Unreachable(message)


def forget_silence() -> None:
    """Servers are asked again at once."""
    _SILENT.clear()


def refused(url: str, error: BaseException, done: str = "read") -> UserError:
    """The error as one line: what could not be read (`done`: or "written"), why, and what to do. It names no
    credentials."""
    protocol, chain = url.partition("://")[0], _chain(error)
    names = [kind.__name__ for one in chain for kind in type(one).__mro__]
    if isinstance(error, UserError):
        return error
    if isinstance(error, ImportError):
        package = PACKAGES.get(protocol)
        remedy = f"the package {package}: pip install {package}" if package else _first_line(error)
        return UserError(f"'{url}' cannot be {done} without its driver ({protocol}://): install {remedy}.")
    if isinstance(error, ValueError) and "rotocol not known" in str(error):
        return UserError(
            f"'{url}' has the unknown protocol {protocol}://: give a path, or a URL such as s3://, gs://, "
            "abfs://, hf://, https:// or memory://."
        )
    if any("Credentials" in name for name in names):
        return UserError(f"'{url}' needs credentials: {_remedy(protocol)}.")
    if any(_is_of_connection(name) for name in names):
        return _silent(url, chain[-1])
    if any(map(_is_denied, chain)):
        return UserError(f"'{url}' may not be {done} ({_first_line(error)}): {_remedy(protocol)}.")
    if isinstance(error, FileNotFoundError):
        why = f" ({_first_line(error)})" if " " in str(error) else ""
        return UserError(f"Nothing is at '{url}'{why}: check the bucket, or host, and the path.")
    if isinstance(error, NotImplementedError) and done != "read":  # fsspec's answer of such file systems
        return read_only(url)
    return UserError(f"'{url}' cannot be {done} ({_first_line(error)}).")


def read_only(url: str) -> UserError:
    """That nothing can be written to the file system of a URL."""
    return UserError(
        f"'{url}' cannot be written: files of {url.partition('://')[0]}:// can be read only; give a local "
        "folder, or a URL such as s3://bucket/folder."
    )


def _silent(url: str, error: BaseException) -> Unreachable:
    server = _server(url)
    told = Unreachable(
        f"'{server}' does not answer ({_first_line(error)}): check the network and the address of the "
        "server, and start the same again."
    )
    with _LOCK:
        _SILENT[server] = time.monotonic() + WAIT, str(told)
    return told


def _remedy(protocol: str) -> str:
    if protocol in ("http", "https"):
        return "addresses of the web are read without credentials"
    known = CREDENTIALS.get(protocol.replace("s3a", "s3").replace("abfss", "abfs"))
    return f"set {known} in the environment" if known else "set them in the environment, as its driver asks"


def _is_of_connection(name: str) -> bool:
    """By the names of classes: botocore, aiohttp, requests and paramiko each have their own."""
    return name in ("ConnectionError", "gaierror", "HTTPClientError", "ClientConnectionError") or (
        "Timeout" in name or "EndpointConnection" in name
    )


def _is_denied(error: BaseException) -> bool:
    """By its type, or the status of HTTP, which drivers keep in attributes of several names, or in words."""
    status = {str(getattr(error, name, "")) for name in ("code", "status", "status_code")}
    denied = isinstance(error, PermissionError) or bool(status & {"401", "403"})
    return denied or (isinstance(error, OSError) and str(error).startswith("Forbidden"))


def _chain(error: BaseException) -> list[BaseException]:
    """The error and its causes."""
    found = [error]
    while (cause := found[-1].__cause__) is not None and cause not in found:
        found.append(cause)
    return found


def _server(url: str) -> str:
    protocol, _, rest = url.partition("://")
    return f"{protocol}://{rest.partition('/')[0]}"


def _first_line(error: BaseException) -> str:
    """Without the part of an address after '?', which may be signed."""
    text = (str(error).splitlines() or [""])[0].partition("?")[0]
    return text[:120] or type(error).__name__
