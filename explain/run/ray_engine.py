"""The engine `ray`: batches are computed by workers of Ray Data, on this machine or on a cluster
(docs/scale.md). The one file that imports Ray."""

import json
import logging
import os
import signal
import socket
import threading
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from explain.formatting import counted
from explain.run.engines import Reopen, Workers
from explain.run.format import Request
from explain.run.job import BatchRows, Job, Schedule
from models.errors import UserError
from models.extras import require_package

if TYPE_CHECKING:
    import ray.data

TURNS = 8
"""So many units of work each worker gets, at least, so that all of them end together."""
ANSWERS = 5.0  # seconds in which a cluster must take a connection
SAME = {"weights_hash": "weights", "code": "code of the network", "data_fingerprint": "images or labels"}
"""Fields of a request that a worker compares with what it opens -> what they are called in messages."""
_ROWS = pa.schema(
    [
        ("number", pa.int64()),
        ("rows", pa.large_binary()),
        ("maps", pa.large_binary()),
        ("device", pa.string()),
        ("refused", pa.string()),
        ("broken", pa.string()),
        ("traceback", pa.string()),
    ]
)
"""What a worker sends: the rows of a batch as Arrow streams, or one line that says why there are none
(`refused`: of a `UserError`; `broken`: of any other error)."""


def on_workers(workers: Workers, reopen: Reopen) -> Schedule:
    """Raises UserError where Ray is missing."""
    require_package("ray")

    def compute(job: Job, batches: list[list[int]]) -> Generator[BatchRows, None, None]:
        with _connected(workers):
            yield from _answers(job, batches, workers, reopen)

    return compute


@dataclass(frozen=True)
class Place:
    """Where each of `workers` workers computes."""

    workers: int
    cpus: int
    gpus: float


def place(nodes: Sequence[tuple[float, float]], wanted: Workers, gpus: float, grows: bool) -> Place:
    """How many workers there are and how many cores each has, on machines with (cores, GPUs). `grows`:
    whether machines may be added to the cluster. Raises UserError where they do not fit."""

    def slots(cpus: int) -> int:
        return sum(int(min(c // cpus, g // gpus if gpus else c)) for c, g in nodes)

    most = slots(1)
    count = wanted.count or max(most, 1)
    if count > most and not (grows and wanted.count):
        cores, cards = (int(sum(amounts)) for amounts in zip(*nodes, strict=True))
        each = f"1 core and {gpus:g} GPU" if gpus else "1 core"
        raise UserError(
            f"No room for {counted(count, 'worker')} with {each} each: Ray has {counted(cores, 'core')} and "
            f"{counted(cards, 'GPU')}; change --workers (at most {most}) or --gpus-per-worker."
        )
    largest = int(max(c for c, _ in nodes))
    cpus = next((cpus for cpus in range(largest, 1, -1) if slots(cpus) >= count), 1)
    return Place(count, cpus, gpus)


@dataclass(frozen=True)
class Task:
    """What a worker gets once. `folder`: of the command, from which paths begin."""

    reopen: Reopen
    request: Request
    device: str
    readers: int
    folder: str


class Worker:
    """One process that has opened the network and the images, for as many units of work as it gets."""

    def __init__(self, task: Task):
        self._task = task
        self._opened: Job | None = None  # opened by the first unit: an error here would be tried again

    def __call__(self, unit: pa.Table) -> Iterator[pa.Table]:
        """The batches of a unit, a table (1, `_ROWS`) each."""
        first, batches = json.loads(unit["unit"][0].as_py())
        try:
            self._opened = self._opened or _open(self._task)
            for found in self._opened.compute(batches, self._task.readers):
                yield _packed(first + found.number, found)
        except UserError as error:
            yield _failed("refused", str(error))
        except Exception as error:
            yield _failed("broken", f"{type(error).__name__}: {error}")


def _open(task: Task) -> Job:
    """Raises UserError where this machine has other images or another network."""
    with suppress(OSError):  # of another machine, where paths have to be whole
        os.chdir(task.folder)
    with redirect_stdout(None):
        classifier, source, to_model = task.reopen(task.device)
    found = {
        "weights_hash": classifier.weights_hash,
        "code": classifier.code,
        "data_fingerprint": source.fingerprint(),
    }
    if other := [name for key, name in SAME.items() if found[key] != getattr(task.request, key)]:
        raise UserError(
            f"The worker on '{socket.gethostname()}' finds other {' and other '.join(other)} there than this "
            "machine: give all machines the same files, under the same paths."
        )
    return Job(classifier, source, task.request, to_model)


def _packed(number: int, found: BatchRows) -> pa.Table:
    maps = _stream(found.maps) if found.maps is not None else None
    return _row(number=number, rows=_stream(found.table), maps=maps, device=found.device)


def _failed(kind: str, text: str) -> pa.Table:
    line = (text.splitlines() or [""])[0]
    return _row(number=-1, traceback=traceback.format_exc(), **{kind: line})


def _row(**given: Any) -> pa.Table:
    return pa.table({name: [given.get(name)] for name in _ROWS.names}, schema=_ROWS)


def _stream(table: pa.Table) -> bytes:
    with pa.BufferOutputStream() as sink:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        stream: bytes = sink.getvalue().to_pybytes()
    return stream


def _unpacked(row: dict[str, Any]) -> BatchRows:
    """Raises what the worker met: a UserError, or a RuntimeError whose note is the worker's traceback."""
    if row["refused"] is not None:
        raise UserError(row["refused"])
    if row["broken"] is not None:
        error = RuntimeError(f"in a worker: {row['broken']}")
        error.add_note(row["traceback"])
        raise error
    tables = [None if row[k] is None else pa.ipc.open_stream(row[k]).read_all() for k in ("rows", "maps")]
    return BatchRows(row["number"], tables[0], tables[1], row["device"])


def units(batches: list[list[int]], workers: int, most: int) -> list[str]:
    """The batches in units of work of at most `most` batches, as JSON: the number of the first one, and the
    indices of each."""
    size = max(1, min(most, len(batches) // (TURNS * workers)))
    return [json.dumps([at, batches[at : at + size]]) for at in range(0, len(batches), size)]


def _answers(job: Job, batches: list[list[int]], workers: Workers, reopen: Reopen) -> Iterator[BatchRows]:
    import ray
    from ray.exceptions import RayError

    on_gpu = job.classifier.device.type == "cuda"
    gpus = workers.gpus if workers.gpus is not None else float(on_gpu)
    device = "cuda" if gpus else "cpu" if on_gpu else str(job.classifier.device)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    sizes = [(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in nodes]
    where = place(sizes, workers, gpus, grows=bool(_address(workers)))
    task = Task(reopen, job.request, device, where.cpus, os.getcwd())
    work = units(batches, where.workers, max(1, job.part_rows // job.batch_size))
    try:
        table: Any
        for table in _dataset(work, task, where).iter_batches(batch_size=None, batch_format="pyarrow"):
            yield from map(_unpacked, table.to_pylist())
    except RayError as error:
        raise UserError(
            f"Ray ended ({_line(error)}): results so far are kept; start the same command again, with either "
            "engine."
        ) from error


def _dataset(work: list[str], task: Task, where: Place) -> "ray.data.Dataset":
    """One row per batch, in their order. Ray Data starts a worker that is lost again, and gives it the same
    work."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.target_max_block_size = 1  # a batch is sent when it is done, not with the rest of its unit
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    given = ray.data.from_items([{"unit": text} for text in work], override_num_blocks=len(work))
    return given.map_batches(
        Worker,
        fn_constructor_args=(task,),
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=where.workers),
        num_cpus=where.cpus,
        num_gpus=where.gpus or None,
    )


def _address(workers: Workers) -> str:
    return workers.address or os.environ.get("RAY_ADDRESS", "")


@contextmanager
def _connected(workers: Workers) -> Iterator[None]:
    """Ray on this machine or at the address, until the block ends; as it is where this process has it
    already. Raises UserError where it does not answer."""
    import ray

    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else C++ writes to standard error, past logging
    address = _address(workers)
    own: dict[str, Any] = {} if address else {"include_dashboard": False}
    with _signals_kept():
        try:
            _require_listening(address)
            ray.init(address or "local", log_to_driver=False, logging_level=logging.CRITICAL, **own)
        except Exception as error:  # Ray raises bare ones where it does not start in time
            what = f"at '{address}'" if address else "on this machine"
            raise UserError(
                f"Ray {what} does not answer ({_line(error)}): see 'ray status', or leave out --address for "
                "workers on this machine."
            ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _require_listening(address: str) -> None:
    """Raises OSError where nothing listens at 'host:port': Ray itself looks for it for two minutes, and for
    the cluster that 'auto' means, without an end."""
    address = _last_started() if address == "auto" else address
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWERS).close()


def _last_started() -> str:
    """The cluster that was started last on this machine, as Ray has noted it; empty where it has not."""
    with suppress(ImportError, OSError):  # of a version that keeps it elsewhere
        from ray._private.utils import read_ray_address

        return read_ray_address() or ""
    return ""


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray's own handler of SIGTERM would end the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".:")
