"""Backgrounds of the photos: sky, fields, streets, rooms, table tops, with clutter and blur of distance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from sketchfusion.data.world.dice import Bytes, Color, Dice, tint
from sketchfusion.data.world.recipe import Place, Texture
from sketchfusion.data.world.surfaces import crop_texture

Canvas = npt.NDArray[np.int16]
DRAW_SIDE = 128  # px; clutter is drawn at this scale on every size and then resized


@dataclass
class Backdrop:
    """A background in the making: (side, side, 3) int16 pixels and the row where the ground begins."""

    pixels: Canvas
    dice: Dice
    horizon: int

    @property
    def side(self) -> int:
        return self.pixels.shape[0]

    def fill(self, top: Color, bottom: Color, rows: slice) -> None:
        """Vertical gradient over the rows."""
        height = len(range(*rows.indices(self.side)))
        if height:
            t = np.arange(height, dtype=np.int32)[:, None] * 256 // max(1, height - 1)
            low, high = (np.array(color, dtype=np.int32)[None] for color in (top, bottom))
            self.pixels[rows] = ((low * (256 - t) + high * t) // 256).astype(np.int16)[:, None, :]

    def texture(self, name: Texture, rows: slice, strength: int = 64) -> None:
        """Vary the lightness of the rows with a texture; strength is in 1/128."""
        part = self.pixels[rows]
        if part.size:
            field = crop_texture(name, self.side, part.shape[:2], self.dice)
            part += ((field * strength) >> 6)[..., None]

    def draw(self, paint: Callable[[ImageDraw.ImageDraw, float], None], blur: float) -> None:
        """Draw on the background, in canvas units times the second argument, then blur everything."""
        image = Image.fromarray(np.clip(self.pixels, 0, 255).astype(np.uint8))
        paint(ImageDraw.Draw(image), float(self.side))
        if blur > 0:
            radius = blur * self.side / DRAW_SIDE
            image = image.filter(ImageFilter.BoxBlur(radius)
                if blur < 1 else ImageFilter.GaussianBlur(radius))
        self.pixels = np.asarray(image).astype(np.int16)


def ground_row(backdrop: Backdrop) -> float:
    """Horizon in canvas units."""
    return backdrop.horizon / backdrop.side


def sky(backdrop: Backdrop, rows: slice) -> None:
    """Sky with or without clouds."""
    dice = backdrop.dice
    top = dice.color((70, 130, 205), (120, 165, 215), (168, 178, 190), (226, 150, 110), (96, 110, 150))
    backdrop.fill(top, tint(top, dice.between(1.3, 1.75)), rows)
    part = backdrop.pixels[rows]
    if part.size and dice.chance(0.7):
        field = crop_texture("noise", backdrop.side, part.shape[:2], dice)
        backdrop.pixels[rows] = part + np.clip(field * 7 - dice.whole(10, 60), 0, 90)[..., None]


def meadow(backdrop: Backdrop) -> None:
    """Grass, sand or earth under a sky, with hills, trees or a fence far away."""
    dice = backdrop.dice
    sky(backdrop, slice(0, backdrop.horizon))
    ground = dice.color((92, 134, 58), (124, 140, 74), (176, 156, 112), (128, 106, 78), (70, 112, 60))
    backdrop.fill(tint(ground, 1.15), tint(ground, 0.85), slice(backdrop.horizon, None))
    far = ground_row(backdrop)

    def paint(draw: ImageDraw.ImageDraw, side: float) -> None:
        for _ in range(dice.whole(0, 2)):
            x, width, height = dice.between(-0.2, 1.0), dice.between(0.4, 1.0), dice.between(0.05, 0.2)
            fill = tint(dice.color((104, 128, 110), (90, 112, 80), (130, 140, 160)), 1.1)
            draw.ellipse((x * side, (far - height) * side, (x + width) * side, (far + height) * side),
                fill=fill)
            draw.rectangle((0, far * side, side, side * min(1.0, far + height)), fill=tint(ground, 1.1))
        for _ in range(dice.whole(0, 5)):
            x, r, rise = dice.between(0, 1), dice.between(0.03, 0.12), dice.between(0.4, 1.6)
            trunk = (x * side - 1, (far - r * rise) * side, x * side + 1, far * side + 1)
            draw.rectangle(trunk, fill=(84, 66, 52))
            y = far - r * (rise + 0.4)
            draw.ellipse(((x - r) * side, (y - r) * side, (x + r) * side, (y + r) * side),
                         fill=dice.color((54, 92, 48), (84, 112, 52), (150, 110, 50)))
    backdrop.draw(paint, dice.between(0.4, 2.2))
    backdrop.texture(dice.pick(("fine", "foliage", "fur")), slice(backdrop.horizon, None),
        dice.whole(40, 110))


def street(backdrop: Backdrop) -> None:
    """House fronts with windows, pavement and road."""
    dice = backdrop.dice
    sky(backdrop, slice(0, backdrop.horizon))
    road = dice.color((104, 104, 108), (132, 128, 122), (88, 90, 98))
    backdrop.fill(tint(road, 1.2), tint(road, 0.9), slice(backdrop.horizon, None))
    far = ground_row(backdrop)

    def paint(draw: ImageDraw.ImageDraw, side: float) -> None:
        x = dice.between(-0.2, 0.0)
        while x < 1:
            width, top = dice.between(0.18, 0.42), far - dice.between(0.12, 0.6)
            wall = dice.color((170, 120, 96), (186, 178, 160), (140, 144, 150), (200, 186, 150),
                (120, 96, 88))
            draw.rectangle((x * side, top * side, (x + width) * side, far * side), fill=wall)
            for row in range(dice.whole(1, 4)):
                for column in range(3):
                    left, high = x + width * (0.12 + 0.3 * column), top + 0.04 + row * 0.13
                    if high + 0.07 < far:
                        draw.rectangle((left * side, high * side, (left + width * 0.16) * side,
                            (high + 0.07) * side),
                                       fill=tint(wall, 0.6))
            x += width + (dice.between(0, 0.25) if dice.chance(0.4) else 0)
        draw.rectangle((0, far * side, side, (far + 0.05) * side), fill=tint(road, 1.4))
        if dice.chance(0.5):
            y = min(0.97, far + dice.between(0.2, 0.4))
            draw.rectangle((0, y * side, side, (y + 0.015) * side), fill=(222, 216, 190))
    backdrop.draw(paint, dice.between(0.6, 2.0))
    backdrop.texture("fine", slice(backdrop.horizon, None), 70)


def water(backdrop: Backdrop) -> None:
    """Sea or lake under a sky."""
    dice = backdrop.dice
    sky(backdrop, slice(0, backdrop.horizon))
    sea = dice.color((50, 96, 140), (70, 130, 140), (84, 104, 120), (40, 80, 110))
    backdrop.fill(tint(sea, 1.3), tint(sea, 0.8), slice(backdrop.horizon, None))
    far = ground_row(backdrop)

    def paint(draw: ImageDraw.ImageDraw, side: float) -> None:
        if dice.chance(0.5):
            x, width, height = dice.between(-0.3, 0.9), dice.between(0.3, 0.8), dice.between(0.03, 0.12)
            draw.pieslice((x * side, (far - height) * side, (x + width) * side, (far + height) * side), 180,
                360,
                          fill=dice.color((96, 116, 110), (120, 124, 140)))
    backdrop.draw(paint, 0.8)
    backdrop.texture("wood", slice(backdrop.horizon, None), dice.whole(40, 100))


def snow(backdrop: Backdrop) -> None:
    """Snow under a winter sky, with dark firs."""
    dice = backdrop.dice
    top = dice.color((120, 150, 190), (150, 160, 176), (96, 120, 160))
    backdrop.fill(top, tint(top, 1.4), slice(0, backdrop.horizon))
    backdrop.fill((224, 230, 240), (200, 208, 224), slice(backdrop.horizon, None))
    far = ground_row(backdrop)

    def paint(draw: ImageDraw.ImageDraw, side: float) -> None:
        for _ in range(dice.whole(2, 9)):
            x, height = dice.between(0, 1), dice.between(0.1, 0.4)
            foot, width = far + dice.between(0, 0.05), height * 0.3
            draw.polygon([((x - width) * side, foot * side), (x * side, (foot - height) * side),
                          ((x + width) * side, foot * side)], fill=dice.color((50, 78, 66), (70, 92, 84)))
    backdrop.draw(paint, dice.between(0.6, 1.8))
    backdrop.texture("noise", slice(backdrop.horizon, None), 40)


def clutter(draw: ImageDraw.ImageDraw, side: float, dice: Dice, foot: float) -> None:
    """Bottles, boxes, balls and frames that stand on the line ``foot`` (canvas units)."""
    for _ in range(dice.whole(1, 5)):
        x, width, height = dice.between(-0.1, 1.0), dice.between(0.06, 0.2), dice.between(0.08, 0.32)
        fill = dice.color((168, 84, 62), (70, 92, 120), (200, 190, 160), (90, 120, 86), (60, 56, 60),
            (210, 170, 80))
        area = (x * side, (foot - height) * side, (x + width) * side, foot * side)
        kind = dice.pick(("box", "oval", "bottle", "frame"))
        if kind == "box":
            draw.rectangle(area, fill=fill, outline=tint(fill, 0.7))
        elif kind == "oval":
            draw.ellipse(area, fill=fill)
        elif kind == "bottle":
            draw.rectangle(area, fill=fill)
            draw.rectangle(((x + width * 0.35) * side, (foot - height * 1.4) * side,
                (x + width * 0.65) * side,
                            foot * side), fill=fill)
        else:
            lift = dice.between(0.25, 0.6) * side
            draw.rectangle((area[0], area[1] - lift, area[2], area[3] - lift), fill=tint(fill, 1.4),
                outline=fill,
                           width=max(1, round(side / 50)))


def indoors(backdrop: Backdrop, floors: tuple[Color, ...], surfaces: tuple[Texture, ...],
        blur: float) -> None:
    """A wall above a floor or table top, with clutter on the edge."""
    dice = backdrop.dice
    wall = dice.color((206, 198, 182), (176, 190, 196), (150, 160, 140), (190, 160, 140), (120, 124, 134),
        (226, 222, 214))
    backdrop.fill(tint(wall, dice.between(0.8, 1.1)), wall, slice(0, backdrop.horizon))
    backdrop.texture(dice.pick(("noise", "stripes", "cloth", "brick", "plain")), slice(0, backdrop.horizon),
        36)
    floor = dice.color(*floors)
    backdrop.fill(tint(floor, 0.9), tint(floor, 1.15), slice(backdrop.horizon, None))
    far = ground_row(backdrop)

    def paint(draw: ImageDraw.ImageDraw, side: float) -> None:
        if dice.chance(0.75):
            clutter(draw, side, dice, far + 0.02)
        draw.line((0, far * side, side, far * side), fill=tint(floor, 0.6), width=max(1, round(side / 90)))
    backdrop.draw(paint, dice.between(0.4, 1.0) * blur)
    backdrop.texture(dice.pick(surfaces), slice(backdrop.horizon, None), dice.whole(40, 90))


def room(backdrop: Backdrop) -> None:
    """Wall and floor of a room."""
    indoors(backdrop, ((150, 112, 76), (120, 116, 112), (176, 164, 144), (110, 84, 66)),
        ("wood", "cloth", "fine"), 1.6)


def table(backdrop: Backdrop) -> None:
    """Table top before a blurred wall."""
    indoors(backdrop, ((160, 118, 78), (196, 176, 150), (112, 80, 58), (214, 212, 206), (90, 100, 110)),
            ("wood", "wood", "cloth", "noise"), 3.0)


def flat(backdrop: Backdrop) -> None:
    """A surface seen from above: planks, cloth, stone, tiles, paper."""
    dice = backdrop.dice
    base = dice.color((166, 124, 84), (200, 190, 176), (120, 130, 140), (150, 84, 76), (92, 112, 90),
        (224, 220, 212))
    backdrop.fill(tint(base, dice.between(0.85, 1.0)), tint(base, dice.between(1.0, 1.2)), slice(None))
    name: Texture = dice.pick(("wood", "cloth", "noise", "fine", "stripes", "metal", "brick"))
    backdrop.texture(name, slice(None), dice.whole(40, 90))

    def paint(draw: ImageDraw.ImageDraw, side: float) -> None:
        for _ in range(dice.whole(0, 4)):
            x, y, r = dice.between(0, 1), dice.pick((dice.between(-0.05, 0.2),
                dice.between(0.8, 1.05))), dice.between(0.03, 0.14)
            fill = dice.color((190, 90, 60), (220, 210, 190), (70, 80, 110), (90, 120, 80))
            spot = ((x - r) * side, (y - r * 0.8) * side, (x + r) * side, (y + r * 0.8) * side)
            (draw.ellipse if dice.chance(0.6) else draw.rectangle)(spot, fill=fill, outline=tint(fill, 0.7))
    backdrop.draw(paint, dice.between(0.3, 0.8))


def open_sky(backdrop: Backdrop) -> None:
    """Sky over the whole picture, at times with a strip of land."""
    sky(backdrop, slice(None))
    if backdrop.dice.chance(0.35):
        land = backdrop.dice.color((90, 110, 84), (110, 104, 96), (70, 90, 110))
        backdrop.fill(tint(land, 1.3), land, slice(int(backdrop.side * backdrop.dice.between(0.86, 0.96)),
            None))
        backdrop.draw(lambda draw, side: None, 0.8)


def underwater(backdrop: Backdrop) -> None:
    """Deep water with rays of light, weeds and bubbles."""
    dice = backdrop.dice
    top = dice.color((60, 160, 190), (40, 120, 170), (90, 170, 150))
    backdrop.fill(tint(top, 1.25), tint(top, 0.5), slice(None))
    backdrop.texture("noise", slice(None), 60)

    def paint(draw: ImageDraw.ImageDraw, side: float) -> None:
        for _ in range(dice.whole(0, 6)):
            x, height, width = dice.between(0, 1), dice.between(0.1, 0.4), dice.between(0.015, 0.05)
            lean = dice.spread(0.1)
            draw.polygon([((x - width) * side, side), ((x + lean) * side, (1 - height) * side),
                ((x + width) * side, side)],
                         fill=dice.color((40, 96, 70), (90, 70, 60), (60, 110, 60)))
        for _ in range(dice.whole(0, 8)):
            x, y, r = dice.between(0, 1), dice.between(0, 1), dice.between(0.006, 0.02)
            draw.ellipse(((x - r) * side, (y - r) * side, (x + r) * side, (y + r) * side),
                outline=(200, 230, 240))
    backdrop.draw(paint, dice.between(0.5, 1.4))


def studio(backdrop: Backdrop) -> None:
    """Plain paper backdrop."""
    base = backdrop.dice.color((214, 214, 210), (170, 180, 190), (230, 220, 200), (120, 120, 126),
        (180, 140, 130))
    backdrop.fill(tint(base, backdrop.dice.between(0.8, 1.2)), tint(base, backdrop.dice.between(0.85, 1.15)),
        slice(None))
    backdrop.texture("noise", slice(None), 24)


PAINTERS: dict[Place, Callable[[Backdrop], None]] = {
    "ground": meadow, "street": street, "water": water, "sky": open_sky, "table": table, "room": room,
    "flat": flat,
    "underwater": underwater, "snow": snow,
}


def make_backdrop(place: Place, side: int, foot: float, dice: Dice) -> Bytes:
    """(side, side, 3) uint8 background for an object whose lowest point is at ``foot`` (canvas units)."""
    far = dice.between(0.35, max(0.4, min(0.78, foot - 0.06)))
    backdrop = Backdrop(np.zeros((side, side, 3), dtype=np.int16), dice, round(far * side))
    painter = studio if dice.chance(0.1) else PAINTERS[place]
    painter(backdrop)
    return np.clip(backdrop.pixels, 0, 255).astype(np.uint8)
