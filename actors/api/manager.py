"""The Python API: a tunnel from a program of one's own.

    handle = await TunnelManager(8080).with_timeout(30).start()
    print(handle.url)
    …
    await handle.shutdown()

It starts the same supervisor process as the command line does, hears its events on a pipe, and asks it by another one.
The supervisor ends with the program, however that ends: its stdin is a lifeline. `Tunnel` is the same without `await`.
"""

import dataclasses
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from actors.api import notebook, program_log, shared
from actors.api.handed import Handed, handing
from actors.api.handle import Seconds, TunnelHandle, TunnelMetrics
from actors.errors import TunnelError
from actors.metrics import process_wide
from actors.supervisor.cli import read_settings

__all__ = ["Seconds", "TunnelHandle", "TunnelManager", "TunnelMetrics"]

Path = str | os.PathLike[str]

Flag = str | tuple[str, ...] | bool
"""The value of a flag: a text, several of them, or whether a switch is on."""


@dataclass(frozen=True)
class TunnelManager:
    """The configuration of a tunnel (a builder). Each `with_…` is a flag of the command line and gives a changed copy;
    `start` makes the tunnel."""

    origin: int | str | None = None
    """A local port; or `HOST:PORT`, `http://HOST:PORT`, `https://HOST:PORT`, `unix:/PATH`; None: a page of its own."""
    _flags: dict[str, Flag] = field(default_factory=dict)
    _token: str | None = field(default=None, repr=False)
    """Of a tunnel of one's own, if it is no file's."""
    _rules: str | None = None
    """Ingress rules as a file would have them, if they are no file's."""
    _entered: list[TunnelHandle] = field(default_factory=list, init=False, repr=False, compare=False)
    """Those of `async with`, the innermost last."""

    @classmethod
    def of(cls, what: "TunnelManager | int | str | None") -> "TunnelManager":
        """A manager as it is; or one for a port or a URL."""
        return what if isinstance(what, TunnelManager) else cls(what)

    @classmethod
    def from_token(cls, token: str | os.PathLike[str], origin: int | str | None = None) -> Self:
        """A tunnel of one's own, with the hostnames that it has at Cloudflare, and on as many machines as you like.

        `token`: the token, as the dashboard shows it; or a `pathlib.Path`, the file with it. The supervisor process
        gets it neither by its arguments nor by its environment. `origin`: where all requests go; None: where rules say,
        those that the service sends, or `with_ingress`. `start` returns once it is registered, though there may be no
        rules yet.
        """
        if isinstance(token, str):
            return cls(origin, _token=token)
        return cls(origin, {"token_file": os.fspath(token)})

    @classmethod
    def from_credentials_file(cls, file: Path, origin: int | str | None = None) -> Self:
        """The same by the file that `cloudflared tunnel create` wrote."""
        return cls(origin, {"credentials_file": os.fspath(file)})

    def _with(self, **flags: Flag) -> Self:
        return dataclasses.replace(self, _flags={**self._flags, **flags})

    # --- what to show, and how requests are forwarded ---

    def with_local_edge(self, on: bool = True) -> Self:
        """An edge on this machine instead of Cloudflare: offline, for demos and tests."""
        return self._with(local_edge=on)

    def with_local_edge_tls(self, on: bool = True) -> Self:
        """`with_local_edge`, and it speaks https: `handle.local_ca` names the certificate to trust."""
        return self._with(local_edge=on, local_edge_tls=on)

    def with_as_cloudflare(self, on: bool = True) -> Self:
        """`with_local_edge`, and it has the limits of the service: requests in flight, bodies, event streams, times."""
        return self._with(local_edge=on, as_cloudflare=on)

    def with_ingress(self, rules: str | os.PathLike[str] | dict[str, Any]) -> Self:
        """Rules that say where requests go, by hostname and path, instead of an origin; as the Go client has them.

        `rules`: a `pathlib.Path`, the YAML file; or its text; or the same as a dictionary, `{"ingress": […]}`.
        """
        if isinstance(rules, os.PathLike):
            return dataclasses.replace(self._with(config=os.fspath(rules)), _rules=None)
        flags = {name: value for name, value in self._flags.items() if name != "config"}
        text = rules if isinstance(rules, str) else json.dumps(rules)
        return dataclasses.replace(self, _flags=flags, _rules=text)

    def with_host_header(self, host: str) -> Self:
        """Host that the origin gets; `rewrite`: its own. Origin, Referer, redirects and cookies change with it."""
        return self._with(host_header=host)

    def with_forwarded_host(self, on: bool = True) -> Self:
        """With `with_host_header`: tell the origin the public name too, as X-Forwarded-Host."""
        return self._with(forwarded_host=on)

    def with_refuse_underscore_twins(self, on: bool = True) -> Self:
        """Answer 400 to a request with both `X_A` and `X-A`, for origins that take the two for one (CGI, old WSGI)."""
        return self._with(refuse_underscore_twins=on)

    def with_no_tls_verify(self, on: bool = True) -> Self:
        """Take any certificate of an `https://` origin."""
        return self._with(no_tls_verify=on)

    def with_origin_ca(self, file: Path) -> Self:
        """A PEM file with the roots of an `https://` origin."""
        return self._with(origin_ca=os.fspath(file))

    def with_origin_server_name(self, name: str) -> Self:
        """The name in the certificate of an `https://` origin."""
        return self._with(origin_server_name=name)

    def with_origin_response_timeout(self, timeout: Seconds) -> Self:
        """How long the head of a response may take, then visitors get 504 (default: 0, as long as it takes)."""
        return self._with(origin_response_timeout=_seconds(timeout))

    def with_origin_keep_alive(self, seconds: Seconds) -> Self:
        """Seconds for which connections to the origin may be idle; 0: each serves one request."""
        return self._with(origin_keep_alive=_seconds(seconds))

    def with_max_streams(self, count: int) -> Self:
        """Requests at once on one connection, then visitors get 503 (default: 1000)."""
        return self._with(max_streams=str(count))

    # --- who may come ---

    def with_auth_file(self, file: Path) -> Self:
        """Let in who has a login: a file of `htpasswd -B`, or one `NAME:PASSWORD`.

        Of login, access token and webhook any one will do. `file`: a path, `env:NAME` or `credential:NAME`.
        """
        return self._with(auth_file=os.fspath(file))

    def with_access_token_file(self, file: Path) -> Self:
        """Let in who has an access token, one in each line of the file: as a Bearer token, or in a link."""
        return self._with(access_token_file=os.fspath(file))

    def with_verify_webhook(self, *senders: str) -> Self:
        """Let in webhooks that are signed with the secrets in files: `"github=FILE"`, `"stripe=FILE"`, …"""
        return self._with(verify_webhook=senders)

    def with_allow_ip(self, *networks: str) -> Self:
        """Let in these addresses and networks alone."""
        return self._with(allow_ip=networks)

    def with_deny_ip(self, *networks: str) -> Self:
        """Never let in these."""
        return self._with(deny_ip=networks)

    def with_allow_path(self, *patterns: str) -> Self:
        """Let in requests for these paths alone, and all below them: `/hooks`, `/api/*/public`."""
        return self._with(allow_path=patterns)

    def with_deny_path(self, *patterns: str) -> Self:
        """Never let in requests for these, however they are written."""
        return self._with(deny_path=patterns)

    def with_rate_limit(self, rate: str) -> Self:
        """Requests of one visitor: `10/s`, `100/m,burst=20`; more get 429."""
        return self._with(rate_limit=rate)

    def with_max_in_flight(self, count: int) -> Self:
        """Requests at once, of all visitors; more get 503."""
        return self._with(max_in_flight=str(count))

    def with_banner(self, on: bool = True) -> Self:
        """Show browsers a page first, that this is somebody's own machine."""
        return self._with(banner=on)

    # --- the tunnel ---

    def with_connections(self, count: int) -> Self:
        """Connections to the edge, 1 to 4 (default: 2; 4 for a tunnel of one's own)."""
        return self._with(connections=str(count))

    def with_timeout(self, timeout: Seconds) -> Self:
        """How long the first registration may take (default: `DEFAULT_HANDSHAKE_TIMEOUT`, 30 s)."""
        return self._with(timeout=_seconds(timeout))

    def with_grace_period(self, grace: Seconds) -> Self:
        """For requests in flight when a signal stops the supervisor process (`shutdown_with` has its own)."""
        return self._with(grace_period=_seconds(grace))

    def with_max_reconnect_attempts(self, count: int) -> Self:
        """Consecutive failures before it gives up; 0: never (default: `MAX_RECONNECT_ATTEMPTS`, 10)."""
        return self._with(max_reconnect_attempts=str(count))

    def with_spare(self, on: bool = True) -> Self:
        """Keep a worker ready that takes over a lost connection (default: yes)."""
        return self._with(spare=on, no_spare=not on)

    def with_renew(self, on: bool = True) -> Self:
        """Ask for another tunnel, with another URL, when the service drops this one."""
        return self._with(renew=on)

    def with_expires(self, time: Seconds) -> Self:
        """End in order after this time."""
        return self._with(expires=_seconds(time))

    def with_keep(self, on: bool = True) -> Self:
        """Keep the tunnel, with its secret, in the folder of `with_state_dir`: the next start there has its URL."""
        return self._with(keep=on)

    def with_keep_for(self, time: Seconds) -> Self:
        """With `with_keep`: how long after its last use (default: a day)."""
        return self._with(keep_for=_seconds(time))

    def with_probe(self, on: bool = True) -> Self:
        """Fetch the public URL once a minute, to know that it leads here."""
        return self._with(probe=on)

    def with_protocol(self, name: str) -> Self:
        """Towards the edge: `quic`, `http2`, or `auto` (default), which is QUIC, and HTTP/2 while UDP is blocked."""
        return self._with(protocol=name)

    def with_quic_engine(self, engine: str) -> Self:
        """`picoquic` or `aioquic`; `auto` (default) is picoquic where `tunnel-supervisor[fast]` is installed."""
        return self._with(quic_engine=engine)

    def with_congestion_control(self, name: str) -> Self:
        """`bbr` (default), `cubic` or `reno`: what sets the pace towards the edge."""
        return self._with(congestion_control=name)

    def with_post_quantum(self, on: bool = True) -> Self:
        """Insist on a post-quantum key exchange; it is offered anyway."""
        return self._with(post_quantum=on)

    def with_user_agent(self, text: str) -> Self:
        """What the tunnel API is told about who asks."""
        return self._with(user_agent=text)

    def with_service_url(self, url: str) -> Self:
        """Another tunnel API than Cloudflare's."""
        return self._with(service_url=url)

    def with_edge(self, *addresses: str) -> Self:
        """Addresses of the edge (`HOST:PORT`), not those that DNS knows."""
        return self._with(edge=addresses)

    def with_region(self, name: str) -> Self:
        """For a tunnel of one's own: the edge's region, as `us` (default: the one that its token names, or all)."""
        return self._with(region=name)

    def with_remote_services(self, *words: str) -> Self:
        """For a tunnel of one's own: what rules may reach that the service pushes (`--remote-services`)."""
        return self._with(remote_services=",".join(words))

    def with_edge_ip_version(self, version: str) -> Self:
        """`auto` (default), `4` or `6`: towards the edge."""
        return self._with(edge_ip_version=version)

    def with_edge_ca(self, file: Path) -> Self:
        """A PEM file with other trust roots for the edge."""
        return self._with(edge_ca=os.fspath(file))

    # --- around it ---

    def with_state_dir(self, folder: Path) -> Self:
        """A folder for the state files (default: a private one, removed at the end)."""
        return self._with(state_dir=os.fspath(folder))

    def with_events(self, endpoint: str) -> Self:
        """Where events are published for other programs: `ipc:///PATH` or `tcp://127.0.0.1:PORT`."""
        return self._with(events=endpoint)

    def with_events_format(self, name: str) -> Self:
        """`msgpack` (default) or `json`: the payload of events there."""
        return self._with(events_format=name)

    def with_metrics(self, endpoint: str) -> Self:
        """Where metrics are asked for by other programs (the same forms)."""
        return self._with(metrics=endpoint)

    def with_curve_key(self, file: Path) -> Self:
        """The secret key for `tcp://` endpoints of these two (`tunnel-keys` makes it)."""
        return self._with(curve_key=os.fspath(file))

    def with_curve_clients(self, folder: Path) -> Self:
        """The public keys of all who may connect there."""
        return self._with(curve_clients=os.fspath(folder))

    def with_metrics_http(self, address: str) -> Self:
        """`HOST:PORT` at which /metrics, /ready, /healthcheck and /quicktunnel are answered over HTTP."""
        return self._with(metrics_http=address)

    def with_inspector(
        self,
        address: str | None = None,
        *,
        body: int | None = None,
        mask: Sequence[str] = (),
        password_file: Path | None = None,
    ) -> Self:
        """Show requests and their answers on a page of this machine, `handle.inspector_url`, and send them again.

        `address`: `HOST:PORT` where it serves (default: 127.0.0.1:4040, or the next free port); one that others reach
        needs a `password_file`. `body`: bytes of each body that are shown (default: 64 KiB, 1 MiB at most). `mask`:
        names of fields whose values are shown only on demand, beside Authorization, Cookie and Set-Cookie.
        """
        more: dict[str, Flag] = {"inspect": True if address is None else address}
        if body is not None:
            more["inspect_body"] = str(body)
        if mask:
            more["inspect_mask"] = tuple(mask)
        if password_file is not None:
            more["inspect_password_file"] = os.fspath(password_file)
        return self._with(**more)

    def with_log_requests(self, on: bool = True) -> Self:
        """Log each request when it has ended, at level `info`."""
        return self._with(log_requests=on)

    def with_log_level(self, level: str) -> Self:
        """`debug`, `info`, `warning` or `error`: what is passed on to the logger `tunnel_supervisor`.

        The default is the level that this logger has when the tunnel starts: `warning`, if nobody set one.
        """
        return self._with(log_level=level)

    # --- its start ---

    async def start(self) -> TunnelHandle:
        """Make the tunnel; return once it serves (one's own: once it is registered).

        In a notebook, one that an earlier run of the cell made has ended.

        Raises:
            TunnelError: of the kind that says why it did not come up. `RateLimited` comes at once, with `retry_after`.
        """
        notebook.end_earlier(self.origin)
        handle = await self.begin()
        notebook.remember(self.origin, handle)
        return handle

    async def begin(self) -> TunnelHandle:
        """The same, whatever a notebook has. In a child of a reloader or of a server with several workers, it is the
        one tunnel of them all. Raises what `start` raises."""
        try:
            with handing() as handed:
                arguments = self._arguments(handed)
                settings = read_settings(arguments, {})  # a mistake is best explained here
                handed.rewind()
                owner = shared.owner()
                # Tunnels of one's own have no URL that must outlive a reload, and several serve one after the other.
                if owner != os.getpid() and self.origin is not None and settings.tunnel is None:
                    handle = await shared.join(settings, arguments, owner)
                else:
                    handle = TunnelHandle()
                    await handle.start(arguments, handed.descriptors)
        except TunnelError as error:
            process_wide.start_failed(error.reason)
            raise
        process_wide.started()
        return handle

    async def __aenter__(self) -> TunnelHandle:
        self._entered.append(await self.begin())
        return self._entered[-1]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._entered.pop().shutdown()

    def _arguments(self, handed: Handed) -> list[str]:
        """The command line. What is no file, and must not stand in it, is put into `handed`."""
        flags: dict[str, Any] = {"log_level": program_log.level()} | self._flags
        if self._token is not None:
            flags["token_file"] = handed.add(self._token)
        if self._rules is not None:
            flags["config"] = handed.add(self._rules)
        is_own = "token_file" in flags or "credentials_file" in flags
        match self.origin:
            case None if is_own or "config" in flags:
                pass  # rules say it
            case None:
                flags["hello_world"] = True
            case int():
                flags["port"] = str(self.origin)
            case str():
                flags["url"] = self.origin
        arguments = ["run"] if is_own else []
        for name, value in flags.items():
            flag = f"--{name.replace('_', '-')}"
            if isinstance(value, bool):
                arguments += [flag] if value else []
            else:
                arguments += [f"{flag}={one}" for one in ([value] if isinstance(value, str) else value)]
        return arguments


def _seconds(value: Seconds) -> str:
    return f"{value.total_seconds() if isinstance(value, timedelta) else value:.9g}"
