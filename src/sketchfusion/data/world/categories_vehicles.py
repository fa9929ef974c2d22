"""Vehicles."""

from __future__ import annotations

from sketchfusion.data.world.dice import Color, Dice, tint
from sketchfusion.data.world.recipe import Blueprint, Paint, category
from sketchfusion.data.world.shapes import Shape, arc, blob, box, ellipse, lathe, poly, ribbon, ring, wire

LACQUER = (190, 40, 40), (50, 90, 160), (220, 180, 60), (60, 120, 90), (214, 214, 210), (60, 62, 70), (210,
    120, 50)
GLASS = Paint((150, 184, 204), "plain", 0.7, 0.3)
TYRE = Paint((38, 38, 42), "fine", 0.1, 0.7)


def add_wheel(b: Blueprint, x: float, y: float, r: float, at: str) -> None:
    """A tyre with a hub, whose center is the key point ``at``."""
    b.add("wheel", ellipse(x, y, r), TYRE, on=at)
    b.add("wheel", ellipse(x, y, r * 0.52), Paint((176, 178, 182), "metal", 0.5, 0.6), at={at: (x, y)},
        detail=0.3, on=at)


@category(
    "airplane", parts="body, wing, tail, window, engine",
    keypoints="nose, cockpit, wing root, wing tip, far wing tip, fin tip, tailplane tip, tail end, belly",
    places=("sky", "sky", "sky"), turn=14,
)
def airplane(d: Dice) -> Blueprint:
    """Side view from slightly above: slim body, swept wings, a fin."""
    b = Blueprint()
    r, sweep, fin = d.between(0.13, 0.17), d.between(0.25, 0.5), d.between(0.36, 0.5)
    white = d.color((232, 234, 236), (214, 216, 220), (236, 226, 200))
    accent = d.color(*LACQUER)
    skin, wing = Paint(white, "metal", 0.5, 1.0), Paint(tint(white, 0.85), "metal", 0.3, 0.4)
    far = (-0.16 - sweep, -0.56)
    b.add("wing", poly((0.3, -0.08), (0.02, -0.08), (far[0] - 0.04, far[1]), (far[0] + 0.1, far[1])),
        Paint(tint(white, 0.7), "metal"), at={"far wing tip": far})
    b.add("tail", poly((-0.56, -0.08), (-0.84, -0.08 - fin), (-1.0, -0.08 - fin), (-0.88, -0.02)),
        Paint(accent, "plain", 0.3, 0.4), at={"fin tip": (-0.97, -0.06 - fin)})
    body = blob((1.0, 0.03), (0.86, -0.08), (0.6, -r), (0, -r - 0.01), (-0.55, -r + 0.02), (-0.98, -0.12),
        (-0.96, -0.02), (-0.5, r * 0.9), (0, r), (0.6, r), (0.9, 0.12))
    b.add("body", body, skin, at={"nose": (0.99, 0.03), "tail end": (-0.97, -0.08), "belly": (0.45, r)})
    b.add("window", poly((0.7, -r * 0.8), (0.84, -0.08), (0.84, -0.01), (0.68, -0.02)), GLASS,
        at={"cockpit": (0.77, -0.07)}, detail=0.35)
    for k in range(d.whole(5, 9)):
        b.add("window", ellipse(0.56 - 0.11 * k, -0.045, 0.028, 0.034), Paint((70, 90, 120), "plain", 0.3),
            detail=0.6, on="body")
    b.add("engine", ribbon([(0.12, 0.3), (-0.14, 0.3)], [0.15, 0.12]),
        Paint(tint(accent, 0.9), "metal", 0.4, 1), detail=0.3, on="wing")
    tip = (-0.22 - sweep, 0.62)
    b.add("wing", poly((0.32, 0.06), (-0.08, 0.07), (tip[0] - 0.08, tip[1]), (tip[0] + 0.12, tip[1])), wing,
        at={"wing tip": tip, "wing root": (0.14, 0.09)})
    b.add("tail", poly((-0.68, -0.05), (-0.86, -0.05), (-1.06, 0.16), (-0.92, 0.16)), wing,
        at={"tailplane tip": (-0.99, 0.15)})
    return b


@category(
    "bicycle", parts="wheel, frame, saddle, handlebar, pedal, basket",
    keypoints="front hub, back hub, saddle, handlebar, crank, seat joint, head joint, front wheel top, "
              "back wheel top, pedal",
    places=("street", "ground", "street"), turn=4,
)
def bicycle(d: Dice) -> Blueprint:
    """Side view: two spoked wheels and a diamond frame."""
    b = Blueprint()
    r, color = d.between(0.4, 0.47), d.color(*LACQUER)
    rubber, steel = Paint((46, 46, 50), "plain", 0.1, 0.3), Paint((150, 150, 154), "plain", 0.1, 0)
    front, back, crank = (0.62, 0.4), (-0.62, 0.4), (-0.08, 0.4)
    for (x, y), name in ((back, "back"), (front, "front")):
        spokes = [[(x - r * c, y - r * s), (x + r * c, y + r * s)] for c,
            s in arc(0, 0, 1, 1, 15, 135, 3).tolist()]
        for line in spokes:
            b.add("wheel", wire(*line, width=0.012, smooth=False), steel, detail=0.5, on=f"{name} wheel")
        b.add("wheel", ring(x, y, r, r, 0.065), rubber, at={f"{name} wheel top": (x, y - r)},
            on=f"{name} wheel")
        b.add("wheel", ellipse(x, y, 0.05), steel, at={f"{name} hub": (x, y)}, detail=0.3, on=f"{name} wheel")
    tube = Paint(color, "plain", 0.4, 0.3)
    seat, head, low = (-0.26, -0.24), (0.42, d.between(-0.36, -0.22)), d.chance(0.25)
    tubes = [[back, seat], [back, crank], [crank, seat], [crank, head], [head, front], [seat, (-0.3, -0.42)],
        [head, (0.39, -0.52)]]
    tubes += [] if low else [[seat, (head[0], head[1] + 0.04)]]
    for k, line in enumerate(tubes):
        ends = {0: {"seat joint": seat}, 4: {"head joint": head}}.get(k, {})
        b.add("frame", wire(*line, width=0.055, smooth=False), tube, at=ends, detail=0.0 if k < 5 else 0.05)
    b.add("pedal", ring(*crank, 0.09, 0.09, 0.03), steel, at={"crank": crank}, detail=0.4)
    b.add("pedal", wire(crank, (0.0, 0.58), (0.1, 0.58), width=0.035, smooth=False), steel,
        at={"pedal": (0.04, 0.58)}, detail=0.5)
    b.add("saddle", blob((-0.46, -0.48), (-0.3, -0.5), (-0.12, -0.45), (-0.28, -0.4), (-0.44, -0.4)),
        Paint((60, 44, 38), "fine", 0.3), at={"saddle": (-0.3, -0.46)})
    bar = [(0.39, -0.52), (0.5, -0.56), (0.6, -0.44), (0.5, -0.38)] if d.chance(0.5) else [(0.39, -0.52),
        (0.5, -0.6), (0.32, -0.62)]
    b.add("handlebar", wire(*bar, width=0.05), Paint((60, 60, 64), "plain", 0.3),
        at={"handlebar": (0.4, -0.53)})
    if d.chance(0.3):
        b.add("basket", poly((0.52, -0.36), (0.92, -0.36), (0.86, -0.06), (0.58, -0.06)),
            Paint((170, 130, 80), "scales", 0, 0.4), detail=0.5, on="handlebar")
    return b


@category(
    "bus", parts="body, window, door, wheel, light, stripe",
    keypoints="roof front, roof back, bumper front, bumper back, front hub, back hub, windscreen, "
              "headlight, door",
    places=("street",), turn=3,
)
def bus(d: Dice) -> Blueprint:
    """Side view: a long box with a row of windows."""
    b = Blueprint()
    h, color = d.between(0.5, 0.66), d.color((220, 170, 50), (190, 40, 40), (50, 100, 160), (70, 130, 90),
        (214, 214, 210))
    top, low, count = 0.45 - 2 * h * 0.72, 0.45, d.whole(4, 6)
    b.add("body", box(-1, top, 1, low, 0.1), Paint(color, "metal", 0.4, 0.5), at={
        "roof front": (0.96, top + 0.04), "roof back": (-0.96, top + 0.04),
        "bumper front": (0.98, low - 0.05), "bumper back": (-0.98, low - 0.05)})
    mid = top + (low - top) * 0.52
    if d.chance(0.6):
        b.add("stripe", box(-0.99, mid + 0.06, 0.99, mid + 0.14), Paint(tint(color, 0.55), "plain"),
            detail=0.6, on="body")
    width = 1.3 / count
    for k in range(count):
        x = -0.9 + k * width
        b.add("window", box(x, top + 0.12, x + width * 0.82, mid, 0.03), GLASS,
            detail=0.1 if k in (0, count - 1) else 0.25)
    b.add("window", box(0.8, top + 0.12, 0.98, mid + 0.06, 0.03), GLASS,
        at={"windscreen": (0.9, (top + mid) / 2)}, detail=0.1)
    b.add("door", box(0.48, top + 0.14, 0.72, low - 0.06), Paint(tint(color, 0.75), "plain", 0.4, 0.2),
        at={"door": (0.6, 0.1)}, lines=[[(0.6, top + 0.16), (0.6, low - 0.08)]], detail=0.35)
    b.add("light", ellipse(0.93, low - 0.14, 0.05), Paint((250, 240, 190), "plain", 0.8),
        at={"headlight": (0.93, low - 0.14)}, detail=0.4)
    for x, name in ((-0.58, "back hub"), (0.3, "front hub")):
        add_wheel(b, x, low, 0.19, name)
    return b


@category(
    "car", parts="body, cabin, window, wheel, light, door",
    keypoints="front bumper, back bumper, front hub, back hub, roof front, roof back, headlight, "
              "tail light, windscreen foot, door handle",
    places=("street", "street", "ground"), turn=4,
)
def car(d: Dice) -> Blueprint:
    """Side view: cabin on a low body, two wheels."""
    b = Blueprint()
    lacquer = Paint(d.color(*LACQUER), "plain", 0.8, 0.7)
    roof, r, back = d.between(-0.5, -0.36), d.between(0.17, 0.21), d.between(-0.86, -0.5)
    front_foot, front_top, rear_top = 0.5, d.between(0.1, 0.24), back + d.between(0.14, 0.3)
    b.add("cabin", poly((back, 0.0), (rear_top, roof), (front_top, roof), (front_foot, 0.0)), lacquer,
        at={"roof front": (front_top, roof + 0.01), "roof back": (rear_top, roof + 0.01)})
    body = car_body(d)
    b.add("body", body, lacquer, lines=[[(0.2, -0.02), (0.18, 0.3)], [(-0.32, -0.02), (-0.34, 0.3)]], at={
        "front bumper": (0.98, 0.24), "back bumper": (-0.98, 0.22), "windscreen foot": (front_foot, 0.0)})
    middle = (rear_top + front_top) / 2
    b.add("window", poly((back + 0.12, -0.03), (rear_top + 0.05, roof + 0.08), (middle - 0.04, roof + 0.08),
        (middle - 0.04, -0.03)), GLASS, detail=0.1)
    b.add("window", poly((middle + 0.04, -0.03), (middle + 0.04, roof + 0.08),
        (front_top - 0.03, roof + 0.08), (front_foot - 0.1, -0.03)), GLASS, detail=0.1)
    b.add("door", wire((0.0, 0.08), (-0.12, 0.08), width=0.03, smooth=False), Paint((90, 92, 96), "plain"),
        at={"door handle": (-0.06, 0.08)}, detail=0.7, on="body")
    b.add("light", ellipse(0.92, 0.08, 0.06, 0.05), Paint((250, 244, 200), "plain", 0.8),
        at={"headlight": (0.92, 0.08)}, detail=0.4, on="body")
    b.add("light", box(-0.98, 0.02, -0.9, 0.12), Paint((190, 30, 30), "plain", 0.5),
        at={"tail light": (-0.94, 0.07)}, detail=0.5, on="body")
    for x, name in ((-0.56, "back hub"), (0.58, "front hub")):
        add_wheel(b, x, 0.34, r, name)
    return b


def car_body(d: Dice) -> Shape:
    """Lower body of a car."""
    hood = d.between(-0.04, 0.04)
    return blob((-1, 0.1), (-0.92, -0.02), (-0.4, -0.05), (0.45, -0.05), (0.85, hood), (1.0, 0.12),
        (0.98, 0.32), (0.5, 0.37), (-0.5, 0.37), (-0.97, 0.32))


@category(
    "truck", parts="cab, cargo, window, wheel, light, bumper",
    keypoints="cab roof, cargo top front, cargo top back, cargo bottom back, front hub, middle hub, "
              "back hub, headlight, windscreen",
    places=("street", "street", "ground"), turn=4,
)
def truck(d: Dice) -> Blueprint:
    """Side view: a cab before a cargo box."""
    b = Blueprint()
    paint = Paint(d.color(*LACQUER), "plain", 0.6, 0.5)
    load = Paint(d.color((224, 222, 214), (150, 110, 76), (120, 140, 160), (190, 170, 120)),
        d.pick(("metal", "wood", "stripes")), 0.2, 0.4)
    top, nose = d.between(-0.75, -0.4), d.chance(0.5)
    b.add("bumper", box(-0.98, 0.26, 0.96, 0.38), Paint((70, 70, 74), "metal"), detail=0.3)
    b.add("cargo", box(-1, top, 0.34, 0.28), load, at={"cargo top front": (0.33, top + 0.01),
        "cargo top back": (-0.99, top + 0.01), "cargo bottom back": (-0.99, 0.27)},
        lines=[[(-0.55, top + 0.04), (-0.55, 0.25)], [(-0.1, top + 0.04), (-0.1, 0.25)]])
    roof = d.between(-0.46, -0.32)
    cab = poly((0.4, roof), (0.68, roof), (0.8, -0.06), (1.0, 0.0), (1.0, 0.34),
        (0.4, 0.34)) if nose else poly((0.4, roof), (0.86, roof), (0.98, 0.0), (0.98, 0.34), (0.4, 0.34))
    b.add("cab", cab, paint, at={"cab roof": (0.5, roof)})
    glass = poly((0.5, roof + 0.08), (0.65, roof + 0.08), (0.74, -0.06),
        (0.5, -0.06)) if nose else poly((0.58, roof + 0.08), (0.83, roof + 0.08), (0.9, -0.04), (0.58, -0.04))
    b.add("window", glass, GLASS, at={"windscreen": (0.68, -0.1)}, detail=0.1)
    b.add("light", ellipse(0.94, 0.16, 0.045), Paint((250, 244, 200), "plain", 0.8),
        at={"headlight": (0.94, 0.16)}, detail=0.5, on="cab")
    for x, name in ((-0.76, "back hub"), (-0.38, "middle hub"), (0.68, "front hub")):
        add_wheel(b, x, 0.38, 0.175, name)
    return b


@category(
    "helicopter", parts="body, window, boom, tail rotor, rotor, mast, skid",
    keypoints="nose, mast top, rotor tip front, rotor tip back, tail end, tail rotor, belly, skid front, "
              "skid back, window",
    places=("sky", "sky", "street"), turn=9,
)
def helicopter(d: Dice) -> Blueprint:
    """Side view: bubble cabin, tail boom, rotor above, skids below."""
    b = Blueprint()
    lacquer = Paint(d.color(*LACQUER), "plain", 0.6, 0.9)
    span, tail, dark = d.between(0.8, 0.98), d.between(-0.32, -0.14), Paint((56, 58, 62), "metal", 0.2, 0.6)
    b.add("boom", poly((-0.1, -0.22), (-1.0, tail - 0.02), (-1.0, tail + 0.06), (-0.1, 0.12)), lacquer,
        at={"tail end": (-0.98, tail + 0.02)})
    b.add("boom", poly((-0.86, tail), (-1.06, tail - 0.3), (-1.12, tail - 0.3), (-1.02, tail + 0.05)),
        lacquer, detail=0.2)
    b.add("tail rotor", ring(-1.0, tail - 0.02, 0.17, 0.17, 0.03), dark, detail=0.2)
    b.add("tail rotor", ellipse(-1.0, tail - 0.02, 0.045), dark, at={"tail rotor": (-1.0, tail - 0.02)},
        detail=0.1)
    for x in (0.06, 0.44):
        b.add("skid", wire((x, 0.3), (x - 0.04, 0.58), width=0.04, smooth=False), dark, detail=0.2)
    b.add("skid", wire((-0.22, 0.58), (0.66, 0.58), (0.76, 0.5), width=0.05), dark,
        at={"skid front": (0.75, 0.51), "skid back": (-0.21, 0.58)}, detail=0.1)
    b.add("mast", box(0.14, -0.6, 0.24, -0.3), dark, at={"mast top": (0.19, -0.58)}, detail=0.05)
    b.add("body", blob((0.76, 0.1), (0.66, -0.16), (0.4, -0.36), (0.05, -0.4), (-0.26, -0.2), (-0.24, 0.14),
        (0.05, 0.34), (0.5, 0.34)), lacquer, at={"nose": (0.75, 0.1), "belly": (0.2, 0.36)})
    b.add("window", blob((0.72, 0.04), (0.62, -0.16), (0.42, -0.3), (0.3, -0.26), (0.32, 0.04), (0.5, 0.1)),
        GLASS, at={"window": (0.5, -0.08)}, detail=0.1)
    b.add("window", box(-0.04, -0.22, 0.2, 0.02, 0.04), GLASS, detail=0.5)
    b.add("rotor", poly((0.19 - span, -0.65), (0.19 + span, -0.65), (0.19 + span, -0.61),
        (0.19 - span, -0.61)), dark,
        at={"rotor tip front": (0.17 + span, -0.63), "rotor tip back": (0.21 - span, -0.63)})
    return b


@category(
    "hot air balloon", parts="envelope, panel, rope, basket",
    keypoints="crown, envelope left, envelope right, mouth left, mouth right, envelope center, "
              "basket top left, basket top right, basket bottom",
    places=("sky",), turn=6,
)
def hot_air_balloon(d: Dice) -> Blueprint:
    """A striped envelope over a small basket."""
    b = Blueprint()
    w, mouth, y = d.between(0.66, 0.78), d.between(0.14, 0.22), d.between(0.28, 0.42)
    first, second = d.color(*LACQUER), d.color((240, 230, 200), (230, 190, 70), (230, 230, 230),
        (60, 110, 170))
    for side in (-1, 1):
        b.add("rope", wire((side * mouth, y), (side * 0.13, 0.75), width=0.022, smooth=False),
            Paint((90, 76, 60), "plain"), detail=0.05)
    b.add("basket", box(-0.16, 0.74, 0.16, 1.0, 0.03), Paint(d.color((150, 104, 60), (120, 86, 56)), "scales",
        0, 0.7), at={
        "basket top left": (-0.15, 0.75), "basket top right": (0.15, 0.75), "basket bottom": (0, 0.99)})
    profile = ((0, -1.0), (0.5, -0.9), (0.92, -0.55), (1.0, -0.25), (0.72, 0.1), (mouth / w, y),
        (0, y + 0.02))
    for k, (wide, tall, color) in enumerate(((1.0, 1.0, first), (0.66, 0.96, second), (0.3, 0.96, first))):
        shape = lathe(*((half * w * wide, level * tall) for half, level in profile))
        b.add("envelope" if k == 0 else "panel", shape, Paint(color, "plain", 0.3 if k == 0 else 0,
            1.0 if k == 0 else 0.5), detail=0.3 if k else 0.0, on="envelope", at={
            "crown": (0, -0.99), "envelope left": (-w * 0.98, -0.28), "envelope right": (w * 0.98, -0.28),
            "mouth left": (-mouth, y - 0.02), "mouth right": (mouth, y - 0.02)}
            if k == 0 else ({"envelope center": (0, -0.3)} if k == 2 else {}))
    return b


@category(
    "sailboat", parts="hull, mast, main sail, jib, flag",
    keypoints="bow, stern, keel, mast top, mast foot, main sail end, jib corner, deck front, deck back",
    places=("water",), turn=7,
)
def sailboat(d: Dice) -> Blueprint:
    """A hull with a mast, a main sail and mostly a jib."""
    b = Blueprint()
    x, top, deep = d.between(-0.05, 0.12), d.between(-1.1, -0.85), d.between(0.8, 0.92)
    canvas = Paint(d.color((240, 236, 224), (226, 200, 160), (220, 90, 70), (120, 160, 200)),
        d.pick(("cloth", "stripes")), 0.1, 0.7)
    b.add("mast", wire((x, 0.5), (x, top), width=0.05, smooth=False), Paint((120, 90, 60), "wood"),
        at={"mast top": (x, top + 0.01), "mast foot": (x, 0.46)}, detail=0.05)
    b.add("main sail", poly((x - 0.05, top + 0.1), (x - 0.05, 0.36), (-0.78, 0.36)), canvas,
        at={"main sail end": (-0.76, 0.35)}, lines=[[(-0.3, 0.02), (x - 0.06, 0.02)],
        [(-0.16, -0.3), (x - 0.06, -0.3)]])
    if d.chance(0.75):
        b.add("jib", poly((x + 0.06, top + 0.22), (0.84, 0.4), (x + 0.06, 0.36)),
            Paint(tint(canvas.color, 0.92), "cloth", 0.1, 0.7), at={"jib corner": (0.82, 0.39)}, detail=0.1)
    if d.chance(0.5):
        b.add("flag", poly((x, top), (x - 0.28, top + 0.07), (x, top + 0.14)),
            Paint(d.color((200, 40, 40), (40, 80, 160)), "plain"), detail=0.6, on="mast")
    color: Color = d.color(*LACQUER, (130, 84, 50))
    b.add("hull", poly((-0.86, 0.5), (0.98, 0.46), (0.7, deep), (0.3, deep + 0.08), (-0.5, deep + 0.08),
        (-0.74, deep - 0.04)), Paint(color, "wood", 0.3, 0.8), lines=[[(-0.82, 0.62), (0.88, 0.58)]], at={
        "bow": (0.96, 0.47), "stern": (-0.84, 0.52), "keel": (-0.1, deep + 0.07), "deck front": (0.5, 0.48),
        "deck back": (-0.5, 0.5)})
    return b
