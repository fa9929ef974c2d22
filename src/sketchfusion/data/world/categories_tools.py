"""Tools and instruments."""

from __future__ import annotations

from sketchfusion.data.world.dice import Dice, tint
from sketchfusion.data.world.recipe import Blueprint, Paint, category
from sketchfusion.data.world.shapes import Point, arc, blob, box, ellipse, lathe, poly, ribbon, ring, wire

STEEL = Paint((176, 180, 186), "metal", 0.6, 0.8)
HANDLE = (150, 100, 60), (190, 50, 40), (60, 60, 66), (220, 170, 50), (50, 90, 140)


@category(
    "guitar", parts="body, hole, bridge, neck, head, string, peg",
    keypoints="head top, neck top, neck joint, hole, bridge, upper left, upper right, waist left, "
              "waist right, lower left, lower right, bottom",
    places=("room", "flat"), turn=22,
)
def guitar(d: Dice) -> Blueprint:
    """Upright: waisted body with a round hole, a long neck with pegs."""
    b = Blueprint()
    w, waist, up = d.between(0.4, 0.48), d.between(0.24, 0.3), d.between(0.3, 0.36)
    wood = Paint(d.color((200, 140, 70), (150, 80, 44), (186, 50, 40), (60, 50, 46)), "wood", 0.7, 0.8)
    dark = Paint(d.color((70, 48, 36), (90, 60, 44)), "wood", 0.3, 0.6)
    body = blob((0, -0.08), (up * 0.75, -0.06), (up, 0.14), (waist, 0.36), (w, 0.66), (w * 0.75, 0.94),
        (0, 1.0), (-w * 0.75, 0.94), (-w, 0.66), (-waist, 0.36), (-up, 0.14), (-up * 0.75, -0.06))
    b.add("body", body, wood, at={"upper left": (-up, 0.12), "upper right": (up, 0.12),
        "waist left": (-waist, 0.36), "waist right": (waist, 0.36),
                                  "lower left": (-w, 0.68), "lower right": (w, 0.68), "bottom": (0, 0.99)})
    b.add("hole", ellipse(0, 0.34, 0.13), Paint((34, 26, 24), "plain", 0, 0), at={"hole": (0, 0.4)},
        detail=0.05, on="body")
    b.add("bridge", box(-0.17, 0.68, 0.17, 0.75), dark, at={"bridge": (0, 0.715)}, detail=0.2, on="body")
    frets = [[(-0.06, y), (0.06, y)] for y in (-0.6, -0.48, -0.36, -0.24)]
    b.add("neck", poly((-0.06, -0.74), (0.06, -0.74), (0.075, 0.22), (-0.075, 0.22)), dark, lines=frets,
        at={"neck top": (0, -0.72), "neck joint": (0, -0.04)})
    for y in (-0.98, -0.9, -0.82):
        for side in (-1, 1):
            b.add("peg", ellipse(side * 0.14, y, 0.04, 0.03), STEEL, detail=0.4, on="head")
    b.add("head", poly((-0.07, -0.73), (-0.1, -1.0), (0, -1.05), (0.1, -1.0), (0.07, -0.73)), dark,
        at={"head top": (0, -1.03)})
    for x in (-0.036, 0, 0.036):
        b.add("string", wire((x, -0.74), (x * 1.3, 0.7), width=0.008, smooth=False),
            Paint((226, 222, 210), "plain", 0, 0), detail=0.95, on="body")
    return b


@category(
    "hammer", parts="handle, grip, head, claw",
    keypoints="face top, face bottom, claw tip, head top, head joint, handle middle, grip top, handle end",
    places=("flat",), turn=45,
)
def hammer(d: Dice) -> Blueprint:
    """A claw hammer."""
    b = Blueprint()
    w, grip = d.between(0.08, 0.12), d.between(0.1, 0.5)
    gripped, end = d.chance(0.6), {"handle end": (0.0, 0.98)}
    b.add("handle", poly((-w * 0.8, -0.6), (w * 0.8, -0.6), (w, 0.95), (w * 0.6, 1.0), (-w * 0.6, 1.0),
        (-w, 0.95)), Paint(d.color((190, 140, 84), (150, 100, 60)), "wood", 0.2, 0.9),
        at={"handle middle": (0, 0.05), **({} if gripped else end)})
    if gripped:
        b.add("grip", box(-w * 1.2, grip, w * 1.2, 1.0, 0.06), Paint(d.color(*HANDLE), "fine", 0.2, 0.9),
            at={"grip top": (0, grip + 0.01), **end}, detail=0.3, on="handle",
            lines=[[(-w, y), (w, y)] for y in (grip + 0.12, grip + 0.22)])
    tip = (-0.62, d.between(-0.6, -0.45))
    b.add("claw", blob((-0.05, -0.94), (-0.35, -0.86), tip, (-0.36, -0.7), (-0.05, -0.64)), STEEL,
        at={"claw tip": tip}, on="head")
    b.add("head", poly((-0.14, -0.96), (0.16, -0.96), (0.24, -0.88), (0.36, -0.88), (0.36, -0.98),
        (0.56, -0.98), (0.56, -0.56), (0.36, -0.56), (0.36, -0.68), (0.24, -0.68), (0.16, -0.6),
        (-0.14, -0.6)), STEEL, at={
        "face top": (0.55, -0.96), "face bottom": (0.55, -0.58), "head top": (0, -0.95),
        "head joint": (0, -0.61)})
    return b


@category(
    "key", parts="bow, shaft, bit, collar",
    keypoints="bow top, bow left, bow right, bow bottom, collar, shaft middle, shaft end, upper bit tip, "
              "lower bit tip",
    places=("flat",), turn=45,
)
def key(d: Dice) -> Blueprint:
    """An old door key: a looped bow, a shaft and a toothed bit."""
    b = Blueprint()
    metal = Paint(d.color((190, 150, 70), (160, 164, 170), (120, 96, 70)), "metal", 0.7, 0.8)
    r, thick = d.between(0.26, 0.36), d.between(0.1, 0.14)
    y = -1.0 + r + thick / 2
    start = y + r * 0.9
    if d.chance(0.6):
        high = r * d.between(0.85, 1.0)
        start = y + high + 0.03
        b.add("bow", ring(0, y, r, high, thick), metal, at={
            "bow top": (0, y - high), "bow left": (-r, y), "bow right": (r, y),
            "bow bottom": (0, y + high - 0.03)})
    else:
        for k, (dx, dy) in enumerate(((-0.2, 0.06), (0.2, 0.06), (0, -0.14))):
            b.add("bow", ring(dx, y + dy, 0.17, 0.17, thick * 0.9), metal,
                at=({"bow left": (-0.37, y + 0.06)}, {"bow right": (0.37, y + 0.06)},
                {"bow top": (0, y - 0.31)})[k])
    b.add("shaft", box(-thick / 2, start - 0.04, thick / 2, 1.0, 0.03), metal,
        at={"shaft middle": (0, (start + 1) / 2), "shaft end": (0, 0.98)})
    b.add("collar", box(-thick * 0.95, start + 0.06, thick * 0.95, start + 0.16, 0.03), metal,
        at={"collar": (0, start + 0.11)}, detail=0.3, on="shaft")
    long, short = d.between(0.3, 0.4), d.between(0.2, 0.34)
    bit = poly((thick / 2 - 0.02, 0.58), (long, 0.58), (long, 0.7), (short * 0.6, 0.7), (short * 0.6, 0.77),
        (short, 0.77), (short, 0.92), (thick / 2 - 0.02, 0.92))
    b.add("bit", bit, metal, at={"upper bit tip": (long - 0.01, 0.6), "lower bit tip": (short - 0.01, 0.9)})
    return b


@category(
    "light bulb", parts="glass, thread, contact, filament",
    keypoints="top, left, right, neck left, neck right, thread left, thread right, contact, filament middle",
    places=("flat", "table"), turn=30,
)
def light_bulb(d: Dice) -> Blueprint:
    """A glass bulb with filament and screw thread."""
    b = Blueprint()
    w, lit = d.between(0.52, 0.64), d.chance(0.5)
    glass = d.color((250, 226, 130), (255, 240, 180)) if lit else d.color((206, 216, 222), (226, 222, 206))
    b.add("contact", blob((-0.12, 0.84), (0.12, 0.84), (0.06, 1.0), (-0.06, 1.0)),
        Paint((50, 50, 54), "plain", 0.3), at={"contact": (0, 0.96)}, detail=0.15, on="thread")
    b.add("glass", lathe((0, -1), (w * 0.6, -0.88), (w, -0.42), (w * 0.8, 0.02), (0.3, 0.34), (0.24, 0.52)),
        Paint(glass, "plain", 1.0, 1.0), at={
        "top": (0, -0.98), "left": (-w * 0.98, -0.42), "right": (w * 0.98, -0.42), "neck left": (-0.3, 0.34),
        "neck right": (0.3, 0.34)})
    wires = Paint((120, 90, 50), "plain", 0, 0)
    for side in (-1, 1):
        b.add("filament", wire((side * 0.06, 0.48), (side * 0.18, -0.2), width=0.03, smooth=False), wires,
            detail=0.35, on="glass")
    b.add("filament", wire((-0.18, -0.2), (-0.1, -0.34), (-0.04, -0.2), (0.04, -0.34), (0.1, -0.2),
        (0.18, -0.28), width=0.03), wires, at={"filament middle": (0, -0.27)}, detail=0.25, on="glass")
    turns = [[(-0.25, 0.58 + 0.09 * k), (0.25, 0.54 + 0.09 * k)] for k in range(1, 4)]
    b.add("thread", box(-0.25, 0.5, 0.25, 0.88, 0.05), STEEL, lines=turns,
        at={"thread left": (-0.24, 0.7), "thread right": (0.24, 0.7)})
    return b


@category(
    "scissors", parts="blade, handle, screw",
    keypoints="left blade tip, right blade tip, screw, left handle top, right handle top, "
              "left handle bottom, right handle bottom, left handle outer, right handle outer",
    places=("flat",), turn=45,
)
def scissors(d: Dice) -> Blueprint:
    """Two crossed blades with looped handles."""
    b = Blueprint()
    spread, loop, long = d.between(9, 26), d.between(0.2, 0.27), d.between(0.95, 1.05)
    plastic = Paint(d.color(*HANDLE), "plain", 0.5, 0.6)
    for side, name in ((-1, "left"), (1, "right")):
        turn = side * spread
        blade = poly((-0.09, 0.12), (-0.09, -0.4), (side * -0.07, -long), (0.07, -0.4),
            (0.09, 0.12)).moved(turn=turn)
        tip = poly((side * -0.07, -long)).moved(turn=turn).points[0]
        b.add("blade", blade, STEEL, at={f"{name} blade tip": (float(tip[0]), float(tip[1]))},
            on=f"{name} half")
        x, y = -side * (0.14 + spread * 0.011), 0.68
        other = "right" if side < 0 else "left"
        b.add("handle", wire((0, 0.06), (x * 0.5, 0.28), (x, y - loop * 1.2), width=0.12), plastic,
            on=f"{name} half")
        b.add("handle", ring(x - side * 0.1, y, loop, loop * 1.3, 0.11), plastic, on=f"{name} half", at={
            f"{other} handle top": (x - side * 0.1, y - loop * 1.3),
            f"{other} handle bottom": (x - side * 0.1, y + loop * 1.3),
            f"{other} handle outer": (x - side * 0.1 - side * loop, y)})
    b.add("screw", ellipse(0, 0, 0.06), Paint((110, 112, 118), "plain", 0.8, 1), at={"screw": (0, 0)},
        detail=0.3, on="left half")
    return b


@category(
    "sword", parts="blade, guard, grip, pommel",
    keypoints="blade tip, blade middle, blade root, left guard tip, right guard tip, guard middle, "
              "grip middle, pommel",
    places=("flat",), turn=45,
)
def sword(d: Dice) -> Blueprint:
    """A straight blade with a cross guard."""
    b = Blueprint()
    w, guard, droop = d.between(0.09, 0.13), d.between(0.3, 0.42), d.spread(0.12)
    gold = Paint(d.color((196, 150, 60), (130, 130, 136), (120, 80, 50)), "metal", 0.7, 0.8)
    b.add("blade", poly((-w, 0.42), (-w * 0.9, -0.82), (0, -1.05), (w * 0.9, -0.82), (w, 0.42)), STEEL,
        lines=[[(0, 0.38), (0, -0.78)]], at={
        "blade tip": (0, -1.03), "blade middle": (0, -0.3), "blade root": (0, 0.36)})
    b.add("grip", box(-0.065, 0.46, 0.065, 0.9), Paint(d.color((80, 50, 36), (40, 40, 46), (110, 30, 34)),
        "bands", 0.2, 0.9), at={"grip middle": (0, 0.68)},
        lines=[[(-0.06, y), (0.06, y + 0.05)] for y in (0.54, 0.64, 0.74)])
    tip: Point = (guard, 0.44 + droop)
    b.add("guard", ribbon([(-tip[0], tip[1]), (0, 0.45), tip], [0.1, 0.13, 0.1]), gold,
        at={"left guard tip": (-tip[0], tip[1]), "right guard tip": tip, "guard middle": (0, 0.45)})
    b.add("pommel", ellipse(0, 0.95, 0.1), gold, at={"pommel": (0, 0.95)}, detail=0.1, on="grip")
    return b


@category(
    "eyeglasses", parts="rim, lens, bridge, temple",
    keypoints="left lens center, right lens center, left rim outer, right rim outer, left rim bottom, "
              "right rim bottom, bridge, left temple tip, right temple tip",
    places=("flat", "table"), turn=14,
)
def eyeglasses(d: Dice) -> Blueprint:
    """Two lenses in a frame, with temples that reach back."""
    b = Blueprint()
    frame = Paint(d.color((40, 38, 40), (150, 60, 50), (120, 84, 54), (176, 150, 90)), "plain", 0.5, 0.5)
    r, flat_, thick = d.between(0.34, 0.4), d.between(0.75, 1.0), d.between(0.06, 0.1)
    glass = Paint(d.color((196, 214, 220), (60, 64, 70), (150, 130, 100)), "plain", 0.9, 0.4)
    for side, name in ((-1, "left"), (1, "right")):
        tip = (side * 0.72, -0.72)
        b.add("temple", wire((side * (0.5 + r), -0.1), (side * 0.86, -0.55), tip, width=thick * 0.8), frame,
            at={f"{name} temple tip": tip})
    b.add("bridge", wire((-0.5 + r, -0.06), (0, -0.16), (0.5 - r, -0.06), width=thick), frame,
        at={"bridge": (0, -0.16)}, on="rim")
    for side, name in ((-1, "left"), (1, "right")):
        x = side * 0.5
        b.add("lens", ellipse(x, 0, r, r * flat_), glass, at={f"{name} lens center": (x, 0)}, on="rim",
            lines=[arc(x - 0.05, 0, r * 0.55, r * 0.5, 190, 250, 5)], detail=0.05)
        b.add("rim", ring(x, 0, r, r * flat_, thick), frame, at={f"{name} rim outer": (x + side * r, 0),
            f"{name} rim bottom": (x, r * flat_)})
    return b


@category(
    "pencil", parts="wood tip, lead, shaft, ferrule, eraser",
    keypoints="lead tip, cone left, cone right, shaft middle left, shaft middle right, ferrule left, "
              "ferrule right, eraser end",
    places=("flat",), turn=45,
)
def pencil(d: Dice) -> Blueprint:
    """A sharpened pencil with an eraser."""
    b = Blueprint()
    w, cone = d.between(0.1, 0.15), d.between(-0.72, -0.6)
    coat = Paint(d.color((230, 180, 50), (190, 50, 44), (60, 110, 170), (70, 130, 80)), "plain", 0.6, 0.9)
    b.add("wood tip", poly((-w, cone), (0, -1), (w, cone)), Paint((222, 184, 134), "wood", 0.1, 0.8))
    b.add("lead", poly((-w * 0.32, -0.9), (0, -1.02), (w * 0.32, -0.9)),
        Paint(tint(coat.color, 0.6) if d.chance(0.3) else (50, 50, 54), "plain"), at={"lead tip": (0, -1)},
        detail=0.1, on="wood tip")
    b.add("shaft", box(-w, cone, w, 0.74), coat, lines=[[(-w * 0.35, cone + 0.03), (-w * 0.35, 0.72)],
        [(w * 0.35, cone + 0.03), (w * 0.35, 0.72)]], at={
        "cone left": (-w, cone + 0.01), "cone right": (w, cone + 0.01), "shaft middle left": (-w, 0),
        "shaft middle right": (w, 0)})
    if d.chance(0.8):
        b.add("ferrule", box(-w * 1.04, 0.72, w * 1.04, 0.86), STEEL, lines=[[(-w, 0.79), (w, 0.79)]],
            at={"ferrule left": (-w, 0.79), "ferrule right": (w, 0.79)}, detail=0.2)
        b.add("eraser", box(-w, 0.85, w, 1.04, 0.07), Paint((220, 130, 130), "fine", 0.1, 0.9),
            at={"eraser end": (0, 1.03)}, detail=0.1)
    return b
