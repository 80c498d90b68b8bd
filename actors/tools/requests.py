"""`bin/tunnel-requests`: what came to the tunnel of a state folder, as its inspector saw it; and send it again."""

import argparse
import datetime
import http.client
import json
import os
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from actors.processes.log import printable
from actors.supervisor.state_folder import TOKEN_FILE_NAME
from actors.supervisor.terminal import in_units
from actors.tools import running
from actors.tools.running import Failed, Status, find, make_parser, run, state_folder

NAME = "tunnel-requests"

TIMEOUT: Final = 10.0
"""Seconds for an answer; a stream of events says something within fifteen."""

FOLLOW_TIMEOUT: Final = 60.0

STREAMED: Final = 5
"""Requests that `follow` shows before those to come."""

TOKEN_FIELD: Final = "X-Inspector-Token"

FILTERS: Final = ("limit", "method", "status", "path", "text")
"""Flags of `list` alone."""

CODES: Final = running.CODES | {
    Status.DOES_NOT_SERVE: "replay: it got no answer, or a status from 400 on",
    Status.NOT_RUNNING: "no tunnel runs, or its inspector has ended; or this request is not kept (any more)",
}
"""What the exit codes mean."""

View = dict[str, Any]


class Inspector:
    """The inspector of a running tunnel, as a client sees it."""

    def __init__(self, url: str, token: str) -> None:
        """`url`: as `tunnel.json` has it."""
        self._host = urllib.parse.urlsplit(url).netloc
        self._fields = {TOKEN_FIELD: token, "Content-Type": "application/json"}

    @classmethod
    def of(cls, folder: Path) -> "Inspector":
        """That of the tunnel in a state folder.

        Raises:
            Failed: there is none.
        """
        state = find(folder)
        if not state.inspector_url:
            message = "this tunnel has no inspector: start it with --inspect"
            raise Failed(Status.USAGE, message)
        try:
            token = (folder / TOKEN_FILE_NAME).read_text().strip()
        except OSError as error:
            raise Failed(Status.USAGE, f"cannot read the inspector's token: {error}") from None
        return cls(state.inspector_url, token)

    def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """What is answered.

        Raises:
            Failed: nothing, or that it cannot be done.
        """
        connection = http.client.HTTPConnection(self._host, timeout=TIMEOUT)
        try:
            connection.request(method, path, body or None, self._fields)
            answer = connection.getresponse()
            content = answer.read()
            _check(answer, content)
        except (OSError, http.client.HTTPException) as error:
            raise Failed(Status.SILENT, f"the inspector at {self._host} does not answer: {error}") from None
        finally:
            connection.close()
        return content

    def get(self, path: str, parameters: Mapping[str, str]) -> View:
        """What is answered, which is JSON; parameters that are empty are left out."""
        query = urllib.parse.urlencode({name: value for name, value in parameters.items() if value})
        return dict(json.loads(self.ask("GET", f"{path}?{query}" if query else path)))

    def events(self, after: int) -> Iterator[tuple[str, Any]]:
        """What happens from now on: the kind of each event, and its data.

        Raises:
            Failed: it does not answer, or has ended.
        """
        connection = http.client.HTTPConnection(self._host, timeout=FOLLOW_TIMEOUT)
        kind = ""
        try:
            connection.request("GET", f"/api/events?after={after}", headers=self._fields)
            answer = connection.getresponse()
            _check(answer, answer.read() if answer.status >= 400 else b"")
            for raw in answer:
                line = raw.decode().rstrip("\n")
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    yield kind, json.loads(line.removeprefix("data: "))
            raise Failed(Status.NOT_RUNNING, "the inspector has ended, with the tunnel or before it is started again")
        except (OSError, http.client.HTTPException) as error:
            raise Failed(Status.SILENT, f"the inspector at {self._host} does not answer: {error}") from None
        finally:
            connection.close()


def _check(answer: http.client.HTTPResponse, content: bytes) -> None:
    """
    Raises:
        Failed: it says that it cannot be done.
    """
    if answer.status >= 400:
        raise Failed(Status.NOT_RUNNING if answer.status == 404 else Status.USAGE, _why(content))


def _why(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace").strip() or "it refuses"


# --- for people ----------------------------------------------------------------------------------------------------


def line_of(one: View) -> str:
    """A request on one line."""
    when = datetime.datetime.fromtimestamp(one["started"]).strftime("%H:%M:%S")
    status = one["status"] if one["status"] is not None else "..." if one["state"] != "ended" else "none"
    seconds = f"{one['seconds'] * 1000:.0f} ms" if one["seconds"] is not None else ""
    remarks = [f"replay of {one['replay_of']}" if one["replay_of"] else "", one["error"] or one["reason"]]
    more = "  ".join(filter(None, remarks))
    parts = f"{one['id']:>8}  {when}  {status!s:>4}  {seconds:>9}  {in_units(one['response_bytes']):>8}"
    return printable(f"{parts}  {one['method']} {one['target']}{'  ' + more if more else ''}")


def _shown(inspector: Inspector, told: View) -> str:
    """A request with its answer."""
    lines = [line_of(told), ""]
    for name in ("request", "response"):
        part = told[name]
        if part is None:
            continue
        lines.append(part.get("line") or f"HTTP/1.1 {part['status']}")
        lines += [f"{key}: {value}" for key, value, _ in part["fields"]]
        lines.append("")
        body = part["body"]
        if body["kept"]:
            lines += [_text(inspector.ask("GET", f"/api/exchanges/{told['id']}/{name}/body?decoded=1")), ""]
        if not body["complete"] and told["websocket"] is None:
            lines += [f"({body['kept']} of {body['size']} bytes)", ""]
    if (said := told["websocket"]) is not None:
        arrows = {"visitor": "→", "origin": "←"}
        for each in said["messages"]:
            text = each.get("data", f"{each['size']} bytes") if each["kind"] == "text" else f"{each['size']} bytes"
            close = f" {each['code']} {each['reason']}" if each["kind"] == "close" else ""
            lines.append(f"{each['at']:8.3f} s {arrows[each['from']]} {each['kind']}{close or ' ' + text}")
        lines += [said["problem"]] if said["problem"] else []
    if told["hint"]:
        lines.append(f"hint: {told['hint']}")
    return "\n".join(printable(line) for text in lines for line in text.split("\n"))


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"({len(data)} bytes that are no text)"


# --- the commands --------------------------------------------------------------------------------------------------


def _list(inspector: Inspector, given: argparse.Namespace) -> None:
    found = inspector.get("/api/exchanges", {name: str(getattr(given, name) or "") for name in FILTERS})
    for one in reversed(found["exchanges"]):
        print(json.dumps(one) if given.json else line_of(one))
    if found["dropped"]:
        print(f"{found['dropped']} more came faster than they could be shown", file=sys.stderr)


def _show(inspector: Inspector, given: argparse.Namespace) -> None:
    told = inspector.get(f"/api/exchanges/{_id(given)}", {"unmasked": "1" if given.unmasked else ""})
    print(json.dumps(told) if given.json else _shown(inspector, told))


def _replay(inspector: Inspector, given: argparse.Namespace) -> None:
    new = json.loads(inspector.ask("POST", f"/api/exchanges/{_id(given)}/replay"))["id"]
    for kind, told in inspector.events(0):  # all that is kept, and what comes
        if kind == "removed" and new in told:
            raise Failed(Status.NOT_RUNNING, f"{given.id} was sent again as {new}, which is not kept any more")
        if kind == "exchange" and told["id"] == new and told["state"] == "ended":
            print(json.dumps(told) if given.json else line_of(told))
            if told["status"] is None or told["status"] >= 400:
                got = "no answer" if told["status"] is None else f"status {told['status']}"
                raise Failed(Status.DOES_NOT_SERVE, f"the replay got {got}; {NAME} show {new} tells more")
            return


def _follow(inspector: Inspector, given: argparse.Namespace) -> None:
    begun = inspector.get("/api/exchanges", {"limit": str(STREAMED)})
    for one in reversed(begun["exchanges"]):
        print(json.dumps(one) if given.json else line_of(one), flush=True)
    for kind, told in inspector.events(begun["sequence"]):
        if kind == "exchange" and (told["state"] == "ended" or given.json):
            print(json.dumps(told) if given.json else line_of(told), flush=True)


def _export(inspector: Inspector, given: argparse.Namespace) -> None:
    query = "?unmasked=1" if given.unmasked else ""
    content = inspector.ask("GET", f"/api/har{query}")
    if given.file == "-":
        sys.stdout.buffer.write(content)
        return
    try:
        # What visitors sent is nobody else's affair.
        how = os.O_TRUNC if given.force else os.O_EXCL
        descriptor = os.open(given.file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
    except FileExistsError:
        raise Failed(Status.USAGE, f"{given.file} is there already: --force writes over it") from None
    except OSError as error:
        raise Failed(Status.USAGE, f"cannot write {given.file}: {error.strerror}") from None


def _id(given: argparse.Namespace) -> str:
    return urllib.parse.quote(given.id, safe="")


COMMANDS: Final = {"list": _list, "show": _show, "replay": _replay, "follow": _follow, "export": _export}


def parser() -> argparse.ArgumentParser:
    """Its flags."""
    made = make_parser(
        NAME, "What came to the tunnel that runs on this machine with --inspect; and send it again.", CODES
    )
    made.add_argument(
        "command",
        choices=tuple(COMMANDS),
        help="list: what came; show: one with its answer; replay: send one again; follow: what comes, as it comes; "
        "export: all as HTTP Archive (HAR 1.2)",
    )
    made.add_argument("id", nargs="?", metavar="ID", help="of the request, for show and replay; the file, for export")
    made.add_argument("--json", action="store_true", help="JSON, one line each")
    made.add_argument(
        "--unmasked", action="store_true", help="for show and export: Authorization, cookies and such, too"
    )
    made.add_argument("--force", action="store_true", help="for export: write over a file that is there")
    made.add_argument("--limit", metavar="N", help="for list: so many, the newest ones (default: 100)")
    made.add_argument("--method", metavar="NAME", help="for list: only these")
    made.add_argument("--status", metavar="STATUS", help="for list: only 404, 4xx, or error")
    made.add_argument("--path", metavar="TEXT", help="for list: only what has this in its path or query")
    made.add_argument("--text", metavar="TEXT", help="for list: only what has this in fields or bodies")
    return made


ARGUMENTS: Final = {
    "show": "the ID of a request, as list shows it",
    "replay": "the ID of a request",
    "export": "a file, or -",
}
"""What follows the commands that take something."""

FLAGS: Final = {"list": FILTERS, "show": ("unmasked",), "export": ("unmasked", "force")}
"""Flags that not all commands have."""


def _work() -> int:
    given = parser().parse_args()
    _look_over(given)
    given.file = given.id
    COMMANDS[given.command](Inspector.of(state_folder(given)), given)
    return 0


def _look_over(given: argparse.Namespace) -> None:
    """
    Raises:
        Failed: something is missing, or would be passed over.
    """
    command, needs = given.command, ARGUMENTS.get(given.command)
    if needs is not None and given.id is None:
        raise Failed(Status.USAGE, f"{command}: give {needs}")
    if needs is None and given.id is not None:
        raise Failed(Status.USAGE, f"{command} takes no {given.id!r}: see --help for its flags")
    for name in sorted({name for names in FLAGS.values() for name in names}):
        if getattr(given, name) and name not in FLAGS.get(command, ()):
            raise Failed(Status.USAGE, f"{command} takes no --{name}: it is for {_takers(name)}")


def _takers(flag: str) -> str:
    return " and ".join(command for command, names in FLAGS.items() if flag in names)


def main() -> int:
    """Run the program; return its exit status."""
    return run(NAME, _work)


if __name__ == "__main__":
    sys.exit(main())
