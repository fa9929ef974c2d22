"""Who may ask: the right host name, the right origin, the token. And what every answer says of itself."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from urllib.parse import unquote_plus, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sketchfusion.apps.web.admission import stopping
from sketchfusion.apps.web.errors import PAGE, ApiError, answer, printable, unforeseen
from sketchfusion.apps.web.settings import PORTS, Settings, is_everywhere, is_loopback

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
WELCOME = PAGE.format('<meta http-equiv="refresh" content="0; url=/">')


class Guard:
    """Lets only those through who may ask, and puts the headers on every answer. Nothing unforeseen gets past it."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.token = app, settings.token
        self.public = public_hosts(settings.public_url)
        self.hosts = known_hosts(settings.host, self.public)
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
            await answer(error, scope)(scope, receive, send_on)
        except asyncio.CancelledError:  # by the server, which ends; who hangs up cancels no more than ``Leaving`` does
            if not started:
                await answer(stopping(), scope)(scope, receive, send_on)
        except Exception as error:
            failure = unforeseen(f"{scope['method']} {scope['path']}", error)
            if not started:
                await answer(failure, scope)(scope, receive, send_on)

    def check(self, scope: Scope) -> Response | None:
        """An answer that ends the matter, or None to go on. Raises ApiError: 400 host, 403 origin, 401 token."""
        headers = Headers(scope=scope)
        self.check_host(headers)
        self.check_origin(scope, headers)
        if self.token is None:
            return None
        if scope["path"] == "/" and self.is_token(first_token(scope)):
            response = HTMLResponse(WELCOME)
            # Secure where TLS is certain: Host means an https public URL, or a proxy on this machine, which uvicorn
            # believes by default and no other, sends X-Forwarded-Proto. Not wherever the public URL is https: browsers
            # refuse such a cookie at http://192.168.1.5, and Safari does even at http://127.0.0.1.
            response.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", max_age=30 * 24 * 3600,
                                secure=self.origin(scope, headers).startswith("https:"))
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
                           f"{' or '.join(sorted(self.hosts))}, or start it with --host, or with --public-url where a "
                           "proxy stands before it")

    def check_origin(self, scope: Scope, headers: Headers) -> None:
        """Raise 403 where another site's page asks for a change."""
        if scope["method"] in SAFE:
            return
        origin = headers.get("origin")
        same = origin is None or origin.lower() in (self.origin(scope, headers), *self.public.values())
        if not same or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise ApiError(403, "wrong_origin", f"a page of {printable(origin or 'another site')} asked for a change "
                           "here; only the server's own page may. Where a proxy stands before the server, start it "
                           "with the proxy's address as --public-url")

    def origin(self, scope: Scope, headers: Headers) -> str:
        """Of the server's own page, as the request has it: the public one where Host means that, else as it came in."""
        host = headers.get("host", "").lower()
        return self.public.get(host, f"{scope['scheme']}://{host}")

    def is_token(self, shown: str) -> bool:
        """Whether it is the token, told in the same time whatever it is."""
        return hmac.compare_digest(shown.encode("utf-8", "replace"), (self.token or "").encode())


def cookie_name(token: str) -> str:
    """A name of its own for each token, since cookies are shared by all ports of a host."""
    return f"sketchfusion-{hashlib.blake2b(token.encode(), digest_size=4).hexdigest()}"


def public_hosts(url: str | None) -> dict[str, str]:
    """The origin of the public URL by each Host that means it: proxies may leave the port out, or always write it."""
    if url is None:
        return {}
    parts = urlsplit(url)
    name = parts.netloc.removesuffix(f":{parts.port}")
    return dict.fromkeys((name, f"{name}:{parts.port or PORTS[parts.scheme]}"), url)


def known_hosts(host: str, public: Iterable[str]) -> frozenset[str] | None:
    """Names that a server bound there is called by; None: any, where it is bound to all addresses and has a token."""
    if is_everywhere(host):
        return None
    own = {host_name(f"[{host}]" if ":" in host and not host.startswith("[") else host), *map(host_name, public)}
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


def first_token(scope: Scope) -> str:
    """The token in the address, empty where there is none."""
    query = scope.get("query_string", b"").decode("latin-1")
    pairs = [part.partition("=") for part in query[:2000].split("&")]
    return next((unquote_plus(value) for name, _, value in pairs if name == "token"), "")
