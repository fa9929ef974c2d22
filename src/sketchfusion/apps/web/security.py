"""Who may ask: the right host name, the right origin, the token. And what every answer says of itself."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from urllib.parse import unquote_plus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sketchfusion.apps.web.errors import ApiError, answer, printable, unforeseen
from sketchfusion.apps.web.settings import Settings, is_everywhere, is_loopback

SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
                               "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",  # of whatever does not say otherwise
}
# The browser goes on by itself; a redirect would count as coming from where the link was, without the cookie.
WELCOME = ('<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=/">'
           '<title>SketchFusion</title><p><a href="/">Go to the page</a></p></html>')


class Guard:
    """Lets only those through who may ask, and puts the headers on every answer. Nothing unforeseen gets past it."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.token = app, settings.token
        self.hosts = known_hosts(settings.host)
        self.cookie = cookie_name(settings.token or "")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_on(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            early = self.check(scope)
            if early is None:
                await self.app(scope, receive, send_on)
            else:
                await early(scope, receive, send_on)
        except ApiError as error:
            await answer(error)(scope, receive, send_on)
        except Exception as error:
            failure = unforeseen(f"{scope['method']} {scope['path']}", error)
            if not started:
                await answer(failure)(scope, receive, send_on)

    def check(self, scope: Scope) -> Response | None:
        """An answer that ends the matter, or None to go on. Raises ApiError: 400 host, 403 origin, 401 token."""
        headers = Headers(scope=scope)
        self.check_host(headers)
        check_origin(scope, headers)
        if self.token is None:
            return None
        if scope["path"] == "/" and self.is_token(first_token(scope)):
            response = HTMLResponse(WELCOME)
            response.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", max_age=30 * 24 * 3600,
                                secure=scope["scheme"] == "https")
            return response
        shown = cookie_parser(headers.get("cookie", "")).get(self.cookie, "")
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if not self.is_token(shown) and not (kind.lower() == "bearer" and self.is_token(bearer.strip())):
            raise ApiError(401, "no_token", "this server wants a token. Open the address that `sketchfusion serve` "
                           "printed, with ?token=..., or send the header 'Authorization: Bearer TOKEN'",
                           {"WWW-Authenticate": "Bearer"})
        return None

    def check_host(self, headers: Headers) -> None:
        """Raise 400 where the request was meant for another name, as after DNS rebinding."""
        name = host_name(headers.get("host", ""))
        if self.hosts is not None and name not in self.hosts:
            raise ApiError(400, "wrong_host", f"this server does not answer for {printable(name)!r}; call it by "
                           f"{' or '.join(sorted(self.hosts))}, or start it with --host")

    def is_token(self, shown: str) -> bool:
        """Whether it is the token, told in the same time whatever it is."""
        return hmac.compare_digest(shown.encode("utf-8", "replace"), (self.token or "").encode())


def cookie_name(token: str) -> str:
    """A name of its own for each token, since cookies are shared by all ports of a host."""
    return f"sketchfusion-{hashlib.blake2b(token.encode(), digest_size=4).hexdigest()}"


def known_hosts(host: str) -> frozenset[str] | None:
    """Names that a server bound there is called by; None: any, where it is bound to all addresses and has a token."""
    if is_everywhere(host):
        return None
    own = {host_name(f"[{host}]" if ":" in host and not host.startswith("[") else host)}
    return frozenset(own | {"localhost", "127.0.0.1", "::1"} if is_loopback(host) else own)


def host_name(value: str) -> str:
    """The name in a Host header, lower case, without port and brackets."""
    name = value.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
        try:
            return str(ipaddress.ip_address(name))
        except ValueError:
            return name
    return name.rpartition(":")[0] if ":" in name else name


def check_origin(scope: Scope, headers: Headers) -> None:
    """Raise 403 where another site's page asks for a change."""
    if scope["method"] in SAFE:
        return
    origin = headers.get("origin")
    same = origin is None or origin.lower() == f"{scope['scheme']}://{headers.get('host', '').lower()}"
    if not same or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise ApiError(403, "wrong_origin", f"a page of {printable(origin or 'another site')} asked for a change here; "
                       "only the server's own page may")


def first_token(scope: Scope) -> str:
    """The token in the address, empty where there is none."""
    query = scope.get("query_string", b"").decode("latin-1")
    pairs = [part.partition("=") for part in query[:2000].split("&")]
    return next((unquote_plus(value) for name, _, value in pairs if name == "token"), "")
