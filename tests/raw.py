"""A visitor without a browser: raw requests in the form that the page's own program sends them."""

import json
import uuid
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx


class Visitor:
    """One opened page. `login`: user and password, where the page asks for them; `source`: the address that
    it comes from."""

    def __init__(
        self,
        server: str,
        login: tuple[str, str] | None = None,
        timeout: float = 60,
        source: str | None = None,
    ):
        # over http: reading certificates would take longer than an answer
        transport = httpx.HTTPTransport(verify=False, local_address=source)
        self.client = httpx.Client(base_url=server.rstrip("/"), timeout=timeout, transport=transport)
        if login:
            self.client.post("/login", data={"username": login[0], "password": login[1]}).raise_for_status()
        self.session = uuid.uuid4().hex[:11]
        self.config = self.client.get("/config").raise_for_status().json()

    def piece(self, elem_id: str) -> int:
        """The number of a component."""
        return next(c["id"] for c in self.config["components"] if c["props"].get("elem_id") == elem_id)

    def events(self, elem_id: str, event: str) -> list[dict[str, Any]]:
        """What happens on an event of a component."""
        wanted = [self.piece(elem_id), event]
        return [d for d in self.config["dependencies"] if wanted in [list(t) for t in d["targets"]]]

    def join(
        self, dependency: dict[str, Any], data: list[Any] | None = None, event: Any = None
    ) -> httpx.Response:
        """`data`: the inputs; by itself what the components hold, and nothing for states."""
        held = {
            c["id"]: c["props"].get("value") if c["type"] != "state" else None
            for c in self.config["components"]
        }
        inputs = [held[number] for number in dependency["inputs"]] if data is None else data
        body = {
            "data": inputs,
            "fn_index": dependency["id"],
            "session_hash": self.session,
            "event_data": event,
            "trigger_id": None,
        }
        return self.client.post("/gradio_api/queue/join", json=body)

    def ask(
        self, dependency: dict[str, Any], data: list[Any] | None = None, event: Any = None
    ) -> dict[str, Any]:
        """The last message of an event: {"success", "output"}; one that did not get into the queue has
        "output": {"error"}."""
        joined = self.join(dependency, data, event)
        if joined.status_code != 200:
            return {"success": False, "output": {"error": joined.text, "status": joined.status_code}}
        for message in self._completed():
            if message.get("event_id") == joined.json()["event_id"]:
                return message
        return {"success": False, "output": {"error": "no answer"}}

    def answers(self, dependency: dict[str, Any], event: Any, number: int) -> list[dict[str, Any]]:
        """The last messages of as many events, in the order in which they come: of this one, and of those
        that were asked for before."""
        self.join(dependency, event=event).raise_for_status()
        return list(islice(self._completed(), number))

    def _completed(self) -> Iterator[dict[str, Any]]:
        where = {"session_hash": self.session}
        with self.client.stream("GET", "/gradio_api/queue/data", params=where) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed":
                    yield message

    def click(self, elem_id: str, name: str, value: object = "") -> dict[str, Any]:
        """A click on a piece that reports itself as `name`."""
        return self.ask(self.events(elem_id, "select")[0], event={"index": name, "value": str(value)})

    def upload(self, file: Path) -> str:
        """The path that the server gave it."""
        with file.open("rb") as opened:
            answer = self.client.post("/gradio_api/upload", files={"files": (file.name, opened)})
        return str(answer.raise_for_status().json()[0])
