"""What the demo asks of the HTTP API, version 1 (``apps.web``)."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from PIL import Image

from sketchfusion.errors import SketchFusionError

API = "/api/v1"
SECONDS = 60.0  # longer than the server itself lets a request wait

XY = tuple[float, float]


class ServerError(SketchFusionError):
    """The server cannot be reached, or says why it does not answer."""


@dataclass(frozen=True)
class Found:
    """A photo that was found: id and name in its gallery, and the cosine of its descriptor with the sketch's."""

    id: str
    name: str
    score: float


@dataclass(frozen=True)
class Pair:
    """A point of the sketch and its place in the photo, both (x, y) in pixels of their own picture, and a cosine."""

    query: XY
    found: XY
    score: float


class Client:
    """The API at an address.

    Args:
        address: such as ``http://127.0.0.1:7861``.
        token: what the server wants to see, if it wants any.
    """

    def __init__(self, address: str, token: str | None = None) -> None:
        self.address, self.token = address.rstrip("/"), token
        # Without the proxies of the environment: a sketch goes to the server that was named and nowhere else.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def galleries(self) -> list[tuple[str, str]]:
        """(name, id) of the galleries that can be searched, the current one first. Raises ServerError."""
        known = [each for each in self.json("/galleries")["galleries"] if each["problem"] is None]
        known.sort(key=lambda each: not each["current"])
        return [(each["name"], each["id"]) for each in known]

    def send(self, sketch: Image.Image) -> str:
        """Id of a sketch, for what follows. Raises ServerError: among others, it is blank."""
        stream = io.BytesIO()
        sketch.save(stream, "PNG")
        return str(self.parsed(self.fetch("/sketches", stream.getvalue(), "image/png"))["id"])

    def classes(self, sketch: str, top: int) -> list[tuple[str, float]]:
        """(name, probability) of what the sketch may show, the likeliest first. Raises ServerError."""
        guesses = self.json(f"/sketches/{in_path(sketch)}/classes", top=top)["guesses"]
        return [(guess["name"], guess["probability"]) for guess in guesses]

    def search(self, gallery: str, sketch: str, top: int) -> list[Found]:
        """The photos most like the sketch, best first. Raises ServerError."""
        hits = self.json(f"/galleries/{in_path(gallery)}/search", sketch=sketch, top=top)["hits"]
        return [Found(hit["id"], hit["name"], hit["score"]) for hit in hits]

    def thumbnail(self, gallery: str, photo: str) -> Image.Image:
        """A small RGB picture of a photo. Raises ServerError."""
        return self.picture(f"{photo_path(gallery, photo)}/thumbnail")

    def photo(self, gallery: str, photo: str, side: int) -> Image.Image:
        """The upright photo in RGB, its longer side at most ``side`` pixels. Raises ServerError."""
        return self.picture(f"{photo_path(gallery, photo)}/picture", side=side)

    def mask(self, gallery: str, photo: str, sketch: str) -> Image.Image:
        """What the sketch shows of a photo, grey, at the photo's full size: 255 is foreground. Raises ServerError."""
        return self.picture(f"{photo_path(gallery, photo)}/mask", sketch=sketch, mode="L")

    def points(self, gallery: str, photo: str, sketch: str, count: int) -> tuple[list[Pair], tuple[int, int]]:
        """Points spread over the sketch's ink and their places, and the photo's (width, height). Raises ServerError."""
        body = json.dumps({"sketch": sketch, "points": None, "count": count}).encode()
        answer = self.parsed(self.fetch(f"{photo_path(gallery, photo)}/points", body, "application/json"))
        pairs = [Pair(tuple(each["query"]), tuple(each["found"]), each["score"]) for each in answer["points"]]
        return pairs, (answer["width"], answer["height"])

    def json(self, path: str, **query: Any) -> Any:
        """What an address gives as JSON. Raises ServerError."""
        return self.parsed(self.fetch(with_query(path, query)))

    def parsed(self, body: bytes) -> Any:
        """JSON. Raises ServerError: it is none."""
        try:
            return json.loads(body)
        except ValueError:
            raise ServerError(f"{self.address} answered something else than expected; is it a server of "
                              "sketchfusion?") from None

    def picture(self, path: str, mode: str = "RGB", **query: Any) -> Image.Image:
        """What an address gives as a picture. Raises ServerError."""
        with Image.open(io.BytesIO(self.fetch(with_query(path, query)))) as picture:
            return picture.convert(mode)

    def fetch(self, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        """The body of an answer; with ``body`` of the type ``kind`` that one is sent. Raises ServerError."""
        headers = {"Content-Type": kind} if body is not None else {}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            request = urllib.request.Request(f"{self.address}{API}{path}", body, headers)
            with self.opener.open(request, timeout=SECONDS) as response:
                return bytes(response.read())
        except urllib.error.HTTPError as error:
            raise ServerError(message_of(error.read(), error.code, self.address)) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise ServerError(f"no answer from {self.address}: {reason}; start it with `sketchfusion serve --gallery "
                              "FOLDER` and give the address that it prints") from None


def photo_path(gallery: str, photo: str) -> str:
    """Where what belongs to a photo is."""
    return f"/galleries/{in_path(gallery)}/photos/{in_path(photo)}"


def in_path(part: str) -> str:
    """One part of a path, whatever is in it."""
    return quote(part, safe="")


def with_query(path: str, query: dict[str, Any]) -> str:
    """The path, and after it the query if there is one."""
    return f"{path}?{urlencode(query)}" if query else path


def message_of(body: bytes, status: int, address: str) -> str:
    """What the server says of an error."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"{address} answered {status} without saying why; is it a server of sketchfusion?"
