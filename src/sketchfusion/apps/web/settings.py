"""What a server is told when it starts."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from sketchfusion.errors import ConfigError

API = "/api/v1"
KIB, MIB = 2**10, 2**20
PORTS = {"http": 80, "https": 443}  # that browsers leave out
PUBLIC = re.compile(r"(https?)://([a-z0-9][a-z0-9._-]*|\[[0-9a-f:.]+])(?::([0-9]{1,5}))?/?")


@dataclass(frozen=True)
class Limits:
    """How much a client may ask for, and how much the server keeps.

    Attributes:
        body_bytes, small_body_bytes: of one request that sends a sketch; of any other.
        strokes_points: points of a drawing sent as strokes.
        top, points: results of one search; points of one request.
        labels, label_length: names of one's own for a sketch, and their letters.
        waiting: calls that wait for one lane of work (see ``admission``); more are answered "busy".
        request_seconds: longest wait for the work of one request, and for its whole body.
        bodies_bytes: of the bodies that are taken in or worked on at the same time; small ones are let in all the same.
        connections: kept at once, less where the process may open few files (see ``protocol``).
        head_seconds: longest wait on a connection for the head of a request.
        batch: sketches that pass the model together.
        sketches, sketch_bytes, sketch_seconds: kept at once, their size in memory, and how long after their last use.
        map_bytes: dense maps of photos kept in memory.
        jobs_waiting, jobs_kept: indexing jobs that wait; jobs that are remembered once they are done.
        errors_listed: files that a job names as not indexed.
        folders_listed: sub-folders and files looked at for one answer.
    """

    body_bytes: int = 20 * MIB
    small_body_bytes: int = 64 * KIB
    strokes_points: int = 100_000
    top: int = 200
    points: int = 256
    labels: int = 100
    label_length: int = 60
    waiting: int = 64
    request_seconds: float = 30.0
    bodies_bytes: int = 160 * MIB
    connections: int = 512
    head_seconds: float = 15.0
    batch: int = 16
    sketches: int = 512
    sketch_bytes: int = 256 * MIB
    sketch_seconds: float = 3600.0
    map_bytes: int = 64 * MIB
    jobs_waiting: int = 4
    jobs_kept: int = 50
    errors_listed: int = 1000
    folders_listed: int = 20_000


@dataclass(frozen=True)
class Settings:
    """Where the server listens and what it serves.

    Attributes:
        galleries: folders of galleries; the first is the one shown at first.
        home: folder in which the page makes galleries; those in it are served too.
        photos: folder below which the page may index.
        host, port: of the socket; port 0 is any free one.
        token: what clients must show; None: nothing, only on a loopback address without a public URL.
        public_url: where people find the page if a proxy stands before the server; kept as browsers write an origin.
        model, device, dtype: the model of new galleries where no gallery tells one, and where models run.
        limits: see there.
    Raises:
        ConfigError: a token is missing or too short; the public URL is none.
    """

    galleries: tuple[Path, ...] = ()
    home: Path = field(default_factory=lambda: default_home())
    photos: Path = field(default_factory=Path.home)
    host: str = "127.0.0.1"
    port: int = 7861
    token: str | None = None
    public_url: str | None = None
    model: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.public_url is not None:
            object.__setattr__(self, "public_url", origin_of(self.public_url))
        if self.token is None and (self.public_url or not is_loopback(self.host)):
            raise ConfigError(f"at {self.public_url or self.host} others can reach the page, so a token is needed; "
                              "give one with --token, or bind to 127.0.0.1 and leave --public-url out")
        if self.token is not None and (len(self.token) < 16 or not self.token.isascii() or not self.token.isalnum()):
            raise ConfigError("a token must have at least 16 letters and digits, and nothing else; leave --token out "
                              "to have one made")


def origin_of(url: str) -> str:
    """The address of a whole site as browsers write it in ``Origin``. Raises ConfigError: it is none."""
    try:
        if (found := PUBLIC.fullmatch(url.lower())) is None:
            raise ValueError(url)
        scheme, host, told = found.groups()
        port = int(told or PORTS[scheme])
        if not 0 < port < 2**16:
            raise ValueError(port)
        name = f"[{ipaddress.IPv6Address(host[1:-1])}]" if host.startswith("[") else host
    except ValueError:
        raise ConfigError("a public URL is http:// or https://, a host, and a port if it needs one, such as "
                          f"https://photos.example.org; no path, since the page takes the whole site. Got {url!r}"
                          ) from None
    return f"{scheme}://{name}" + ("" if port == PORTS[scheme] else f":{port}")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address or name."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_everywhere(host: str) -> bool:
    """Whether the address stands for all of the machine's, so that clients may call it by any name."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return not host


def default_home() -> Path:
    """Where the page makes galleries unless told otherwise: the user's data folder."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "sketchfusion" / "galleries"
