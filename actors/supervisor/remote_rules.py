"""The rules that the service pushes: judged here, whichever connection they come on, and kept for the next start.

Their version is the supervisor's (`actors.ingress.versions`). The last good ones are kept in the state folder: the next
start goes by them from its first second, and still takes any version that the service pushes.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from actors.bus.messages import DECODE_ERRORS
from actors.bus.routes import Origin, Routes
from actors.ingress import parse, routing, versions
from actors.ingress.allowed import USUAL, Allowed
from actors.ingress.errors import IngressError
from actors.ingress.model import Configuration
from actors.ingress.versions import NEVER, Answer, Applied
from actors.processes.log import Logger
from actors.supervisor.rule_files import check_roots
from actors.supervisor.settings import Settings
from actors.supervisor.state_folder import RULES_FILE_NAME, StateFolder

KEEP_INTERVAL: Final = 1.0
"""Seconds between two writes of it: so much of the newest can be lost, and the service pushes it again."""

_MAY_NAME_PAGE: Final = re.compile(rb"hello|\\u")
"""What stands in a configuration that needs the page of our own: its name, or letters that are spelled as numbers."""


class _Kept(msgspec.Struct, frozen=True):
    """What the file holds."""

    tunnel_id: str
    version: int
    configuration: str
    """The JSON, as it was pushed."""


class RemoteRules:
    """What was pushed last, and was good."""

    def __init__(
        self, settings: Settings, folder: StateFolder, *, page: Callable[[], Awaitable[Origin]], log: Logger
    ) -> None:
        """`page` starts the page of our own, if it does not run, and says where it is."""
        assert settings.tunnel is not None
        self._tunnel_id = settings.tunnel.credentials.tunnel_id
        self._allowed = settings.remote_services or Allowed.parse(USUAL)
        self._folder = folder
        self._page = page
        self._log = log
        self._applied = Applied()
        self._unwritten: _Kept | None = None
        self._written_at = -KEEP_INTERVAL
        self._turn = asyncio.Lock()
        """Pushes are judged one after the other."""

    @property
    def _file(self) -> str:
        return str(self._folder.path / RULES_FILE_NAME)

    @property
    def routes(self) -> Routes:
        """Where requests go by them."""
        return self._applied.routes

    @property
    def configuration(self) -> Configuration:
        """The rules."""
        return self._applied.configuration

    async def take_kept(self) -> None:
        """Go by what was kept, if it is of this tunnel and still good. It has no version: any push replaces it."""
        try:
            if (content := self._folder.read_rules()) is None:
                return
            kept = msgspec.json.decode(content, type=_Kept)
            if kept.tunnel_id != self._tunnel_id:
                return
            data = kept.configuration.encode()
            configuration = parse.remote(data)
            routes = routing.routes(
                configuration,
                version=NEVER,
                hello_world=await self._page_for(data),
                allowed=self._allowed,
                read_file=check_roots,
            )
        except (OSError, ValueError, *DECODE_ERRORS) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            self._log.warning("the rules that were kept cannot be used", file=self._file, error=why)
        else:
            self._applied = Applied(NEVER, configuration, routes)
            self._log.info("rules as they were kept, until the service pushes others", version=kept.version)

    async def judge(self, version: int, data: bytes) -> tuple[Answer, bool]:
        """Judge a push; return what the service is to be told of it, and whether it is in force from now on."""
        async with self._turn:
            present = self._applied
            self._applied, answer = versions.apply(
                present,
                version,
                data,
                hello_world=await self._page_for(data) if version > present.version else None,
                allowed=self._allowed,
                read_file=check_roots,
            )
            if is_new := self._applied is not present:
                self._keep(version, data)
            return answer, is_new

    async def _page_for(self, data: bytes) -> Origin | None:
        if _MAY_NAME_PAGE.search(data) is None:
            return None
        try:
            return await self._page() if parse.remote(data).has_hello_world else None
        except IngressError:
            return None  # whoever reads it next says so

    def _keep(self, version: int, data: bytes) -> None:
        """Keep it, at once or a little later: a service that pushes again and again costs no file for each time."""
        if self._unwritten is None:
            loop = asyncio.get_running_loop()
            pause = max(0.0, self._written_at + KEEP_INTERVAL - loop.time())
            loop.call_later(pause, self._write)
        self._unwritten = _Kept(self._tunnel_id, version, data.decode(errors="replace"))

    def _write(self) -> None:
        self._written_at = asyncio.get_running_loop().time()
        kept, self._unwritten = self._unwritten, None
        try:
            self._folder.write_rules(msgspec.json.encode(kept))
        except OSError as error:
            self._log.warning("the rules cannot be kept for the next start", file=self._file, error=error.strerror)
