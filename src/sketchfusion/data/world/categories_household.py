"""Furniture, devices and clothes."""

from __future__ import annotations

from sketchfusion.data.world.dice import Dice, tint
from sketchfusion.data.world.recipe import Blueprint, Paint, category
from sketchfusion.data.world.shapes import arc, blob, box, cos_sin, ellipse, poly, ribbon, toward, wire

WOOD = (150, 104, 64), (116, 78, 52), (186, 142, 96), (90, 64, 50)
CLAY = (226, 222, 212), (80, 120, 160), (190, 90, 70), (120, 150, 120), (220, 180, 90), (70, 70, 78)
CLOTH = (190, 50, 50), (60, 80, 140), (70, 110, 80), (60, 56, 60), (210, 180, 120), (150, 80, 130)
STEEL = Paint((170, 172, 178), "metal", 0.4, 0.8)


@category(
    "chair", parts="seat, leg, back, rail",
    keypoints="back top left, back top right, seat front left, seat front right, seat back left, "
              "seat back right, front left foot, front right foot, back left foot, back right foot",
    places=("room",), turn=4,
)
def chair(d: Dice) -> Blueprint:
    """Seen half from the side: a seat on four legs, a back of slats or one panel."""
    b = Blueprint()
    wood = Paint(d.color(*WOOD, (190, 60, 50), (230, 226, 216)), "wood", 0.2, 0.7)
    dark = Paint(tint(wood.color, 0.72), "wood", 0.1, 0.6)
    top, depth, thick = d.between(-1.15, -0.85), d.between(0.28, 0.38), d.between(0.07, 0.11)
    left, right, foot = -0.42, 0.42, 0.95
    shift = depth * 0.75
    for x, name in ((left + shift, "back left foot"), (right + shift - 0.02, "back right foot")):
        b.add("leg", wire((x, 0.0), (x, foot - 0.22), width=thick, smooth=False), dark,
            at={name: (x, foot - 0.2)})
    for x, name in ((left + shift, "left"), (right + shift - 0.02, "right")):
        b.add("back", wire((x, 0.0), (x + 0.03, top), width=thick, smooth=False), wood,
            at={f"back top {name}": (x + 0.03, top)})
    x0, x1 = left + shift, right + shift
    if d.chance(0.35):
        b.add("back", box(x0, top + 0.04, x1, -0.25, 0.06), wood)
    else:
        for k in range(count := d.whole(2, 3)):
            y = top + 0.12 + k * (0.65 / count)
            b.add("rail", box(x0, y - 0.06, x1, y + 0.06), wood, detail=0.05)
    b.add("seat", poly((left, 0.24), (left + shift, 0.0), (right + shift, 0.0), (right, 0.24)),
        wood if d.chance(0.6) else Paint(d.color(*CLOTH), "cloth", 0, 0.6), at={
        "seat front left": (left, 0.23), "seat front right": (right, 0.23),
        "seat back left": (left + shift, 0.02), "seat back right": (right + shift - 0.02, 0.02)})
    b.add("seat", box(left, 0.24, right, 0.33), dark, detail=0.2)
    for x, name in ((left + thick / 2, "front left foot"), (right - thick / 2, "front right foot")):
        b.add("leg", wire((x, 0.3), (x, foot), width=thick, smooth=False), wood, at={name: (x, foot - 0.01)})
    return b


@category(
    "table", parts="top, leg, edge, drawer",
    keypoints="top front left, top front right, top back left, top back right, front left foot, "
              "front right foot, back left foot, back right foot, top center",
    places=("room",), turn=3,
)
def table(d: Dice) -> Blueprint:
    """Seen from slightly above: a slab on four legs, at times with a drawer."""
    b = Blueprint()
    wood = Paint(d.color(*WOOD, (226, 222, 214)), "wood", 0.3, 0.3)
    dark = Paint(tint(wood.color, 0.72), "wood", 0.1, 0.6)
    inset, rise, thick, foot = d.between(0.16, 0.34), d.between(0.2, 0.34), d.between(0.07,
        0.13), d.between(0.65, 0.9)
    y = -0.2
    for x, name in ((-1 + inset + 0.1, "back left foot"), (1 - inset - 0.1, "back right foot")):
        b.add("leg", wire((x, y - 0.1), (x, foot - 0.22), width=thick, smooth=False), dark,
            at={name: (x, foot - 0.23)}, detail=0.05)
    for x, name in ((-0.88, "front left foot"), (0.88, "front right foot")):
        b.add("leg", wire((x, y), (x, foot), width=thick, smooth=False), wood, at={name: (x, foot - 0.01)})
    if d.chance(0.4):
        b.add("drawer", box(-0.4, y + 0.08, 0.4, y + 0.3), wood, detail=0.4,
            lines=[arc(0, y + 0.17, 0.07, 0.05, 0, 180, 5)])
    b.add("edge", box(-1, y, 1, y + 0.1), dark, detail=0.1, on="top")
    b.add("top", poly((-1, y), (-1 + inset, y - rise), (1 - inset, y - rise), (1, y)), wood, at={
        "top front left": (-0.98, y - 0.01), "top front right": (0.98, y - 0.01),
        "top back left": (-1 + inset, y - rise + 0.01),
        "top back right": (1 - inset, y - rise + 0.01), "top center": (0, y - rise / 2)})
    return b


@category(
    "clock", parts="case, face, hand, mark, bell",
    keypoints="center, twelve, three, six, nine, hour hand tip, minute hand tip, left foot, right foot",
    places=("room", "table"), turn=8,
)
def clock(d: Dice) -> Blueprint:
    """A round face with hands; at times an alarm clock with bells and feet."""
    b = Blueprint()
    rim = Paint(d.color(*CLAY, (150, 104, 64)), "noise", 0.6, 0.8)
    r = d.between(0.62, 0.72)
    if d.chance(0.6):
        for side, name in ((-1, "left"), (1, "right")):
            b.add("bell", wire((side * 0.4, 0.55), (side * 0.56, 0.92), width=0.09, smooth=False), STEEL,
                at={f"{name} foot": (side * 0.56, 0.92)}, detail=0.15)
            b.add("bell", ellipse(side * 0.42, -0.72, 0.27, 0.2, side * 32), STEEL, detail=0.15)
    b.add("case", ellipse(0, 0, r + 0.14, steps=40), rim)
    b.add("face", ellipse(0, 0, r, steps=40), Paint((240, 238, 228), "plain", 0.1, 0.2),
        at={"twelve": (0, -r * 0.85), "six": (0, r * 0.85), "three": (r * 0.85, 0), "nine": (-r * 0.85, 0)},
        detail=0.1, on="case")
    ink = Paint((40, 38, 40), "plain", 0, 0)
    for k in range(12):
        long = 0.78 if k % 3 == 0 else 0.86
        b.add("mark", wire(toward(0, 0, r * long, 30 * k), toward(0, 0, r * 0.95, 30 * k), width=0.04,
            smooth=False), ink, detail=0.35 if k % 3 == 0 else 0.6, on="case")
    hour, minute = d.whole(0, 11), d.whole(0, 11)
    for turn, length, width, name in ((30 * hour + 2.5 * minute - 90, 0.5, 0.075, "hour hand tip"),
            (30 * minute - 90, 0.76, 0.05, "minute hand tip")):
        tip = toward(0, 0, r * length, turn)
        b.add("hand", wire((0, 0), tip, width=width, smooth=False), ink, at={name: tip}, on="case")
    b.add("hand", ellipse(0, 0, 0.06), Paint((190, 50, 40), "plain", 0.4), at={"center": (0, 0)}, detail=0.3,
        on="case")
    return b


@category(
    "floor lamp", parts="shade, pole, base, cord",
    keypoints="shade top left, shade top right, shade bottom left, shade bottom right, pole top, "
              "pole middle, base left, base right, cord end",
    places=("room",), turn=3,
)
def floor_lamp(d: Dice) -> Blueprint:
    """A shade on a tall pole with a foot."""
    b = Blueprint()
    top, low, h = d.between(0.16, 0.3), d.between(0.4, 0.55), d.between(0.4, 0.52)
    y = -1.0 + h
    metal = Paint(d.color((60, 58, 60), (176, 140, 80), (150, 104, 64)), "metal", 0.5, 0.8)
    b.add("pole", wire((0, y - 0.05), (0, 0.92), width=0.06, smooth=False), metal,
        at={"pole top": (0, y + 0.04), "pole middle": (0, 0.3)})
    b.add("base", blob((-0.32, 0.98), (-0.2, 0.9), (0, 0.86), (0.2, 0.9), (0.32, 0.98), (0, 1.0)), metal,
        at={"base left": (-0.3, 0.98), "base right": (0.3, 0.98)})
    if d.chance(0.6):
        b.add("cord", wire((0.12, y), (0.13, y + 0.1), (0.12, y + 0.24), width=0.02),
            Paint((220, 214, 190), "plain"), at={"cord end": (0.12, y + 0.23)}, detail=0.6)
    fabric = Paint(d.color((240, 214, 150), (226, 190, 150), (200, 90, 70), (150, 180, 170)),
        d.pick(("cloth", "stripes")), 0.1, 1.0)
    b.add("shade", poly((-top, -1), (top, -1), (low, y), (-low, y)), fabric, at={
        "shade top left": (-top, -0.99), "shade top right": (top, -0.99),
        "shade bottom left": (-low * 0.99, y - 0.01), "shade bottom right": (low * 0.99, y - 0.01)})
    return b


@category(
    "laptop", parts="lid, screen, base, keyboard, pad",
    keypoints="lid top left, lid top right, hinge left, hinge right, base front left, base front right, "
              "screen center, pad",
    places=("table",), turn=4,
)
def laptop(d: Dice) -> Blueprint:
    """Open, seen from the front: screen up, keyboard towards the viewer."""
    b = Blueprint()
    shell = Paint(d.color((180, 184, 190), (60, 62, 68), (220, 216, 206)), "metal", 0.4, 0.3)
    top, tilt, deep, wide = d.between(-0.75, -0.6), d.between(-0.04, 0.1), d.between(0.42,
        0.6), d.between(0.1, 0.24)
    b.add("lid", poly((-0.72 - tilt, top), (0.72 + tilt, top), (0.76, 0.18), (-0.76, 0.18)), shell,
        at={"lid top left": (-0.7 - tilt, top + 0.02), "lid top right": (0.7 + tilt, top + 0.02)})
    b.add("screen", poly((-0.65 - tilt, top + 0.08), (0.65 + tilt, top + 0.08), (0.69, 0.1), (-0.69, 0.1)),
        Paint(d.color((90, 140, 190), (40, 50, 70), (150, 190, 150), (230, 232, 236)), "noise", 0.5, 0.3),
        at={"screen center": (0, top / 2 + 0.1)}, detail=0.05, on="lid")
    y, low = 0.2, 0.2 + deep
    b.add("base", poly((-0.76, y), (0.76, y), (0.76 + wide, low), (0.74 + wide, low + 0.05),
        (-0.74 - wide, low + 0.05), (-0.76 - wide, low)), shell, at={
        "hinge left": (-0.75, y + 0.01), "hinge right": (0.75, y + 0.01),
        "base front left": (-0.74 - wide, low), "base front right": (0.74 + wide, low)})
    keys = [[(-0.66 - wide * k / 5, y + 0.05 + deep * 0.13 * k),
        (0.66 + wide * k / 5, y + 0.05 + deep * 0.13 * k)] for k in range(1, 4)]
    b.add("keyboard", poly((-0.68, y + 0.05), (0.68, y + 0.05), (0.7 + wide * 0.55, y + deep * 0.62),
        (-0.7 - wide * 0.55, y + deep * 0.62)), Paint((50, 52, 58), "brick", 0.1, 0.2), lines=keys,
        detail=0.15, on="base")
    b.add("pad", poly((-0.22, y + deep * 0.7), (0.22, y + deep * 0.7), (0.25, y + deep * 0.95),
        (-0.25, y + deep * 0.95)), Paint(tint(shell.color, 0.85), "plain", 0.2, 0.2),
        at={"pad": (0, y + deep * 0.82)}, detail=0.5, on="base")
    return b


@category(
    "umbrella", parts="canopy, shaft, handle, tip",
    keypoints="tip, canopy left, canopy right, canopy top, rib left, rib right, shaft middle, "
              "handle bottom, handle end",
    places=("room", "ground", "street"), turn=16,
)
def umbrella(d: Dice) -> Blueprint:
    """Open, side view: scalloped canopy, hooked handle."""
    b = Blueprint()
    h, count, color = d.between(0.62, 0.8), d.pick((4, 5)), d.color(*CLOTH, (226, 190, 60))
    y = -0.1
    b.add("tip", wire((0, y - h), (0, y - h - 0.14), width=0.04, smooth=False), Paint((60, 60, 60), "plain"),
        at={"tip": (0, y - h - 0.13)}, detail=0.2)
    b.add("shaft", wire((0, y - 0.1), (0, 0.7), width=0.05, smooth=False),
        Paint((120, 120, 124), "metal", 0.4), at={"shaft middle": (0, 0.35)}, on="handle")
    b.add("handle", wire((0, 0.66), (0, 0.86), (-0.1, 0.98), (-0.22, 0.94), (-0.26, 0.8), width=0.075),
        Paint(d.color((110, 70, 44), (40, 40, 44)), "wood", 0.3, 0.6),
        at={"handle bottom": (-0.11, 0.98), "handle end": (-0.26, 0.8)})
    scallops = []
    for k in range(count):
        left, right = 1 - 2 * k / count, 1 - 2 * (k + 1) / count
        scallops += arc((left + right) / 2, y, (left - right) / 2, 0.11, 0, -180, 6).tolist()
    canopy = poly(*[tuple(p) for p in arc(0, y, 1.0, h, 180, 360, 24).tolist()],
        *[tuple(p) for p in scallops])
    seams = [arc(0, y, abs(1 - 2 * k / count), h, -90, -180 if k < count / 2 else 0, 10)
        for k in range(1, count) if abs(1 - 2 * k / count) > 0.05]
    b.add("canopy", canopy, Paint(color, d.pick(("plain", "cloth", "spots")), 0.3, 0.9), lines=seams, at={
        "canopy left": (-0.98, y - 0.03), "canopy right": (0.98, y - 0.03), "canopy top": (0, y - h + 0.01),
        "rib left": (-(1 - 2 / count), y - 0.04), "rib right": (1 - 2 / count, y - 0.04)})
    return b


@category(
    "hat", parts="brim, crown, band, feather",
    keypoints="brim left, brim right, brim front, crown top left, crown top right, crown top, band left, "
              "band right, feather tip",
    places=("table", "flat", "room"), turn=9,
)
def hat(d: Dice) -> Blueprint:
    """A hat with a brim and a band: a top hat, or one with a dented crown."""
    b = Blueprint()
    felt = Paint(d.color((60, 54, 54), (130, 90, 60), (210, 180, 120), (80, 90, 80), (110, 60, 60)), "cloth",
        0.1, 0.9)
    tall = d.chance(0.4)
    top, w, low = (-0.85, d.between(0.46, 0.52), 0.48) if tall else (d.between(-0.5, -0.35),
        d.between(0.36, 0.44), 0.52)
    y, deep = 0.3, d.between(0.14, 0.22)
    b.add("brim", ellipse(0, y, d.between(0.86, 1.0), deep, steps=36), felt,
        at={"brim left": (-0.86, y), "brim right": (0.86, y), "brim front": (0, y + deep - 0.01)})
    dent = (0, top) if tall else (0, top + 0.1)
    crown = poly((-low, y), (-w, top + 0.06), (-w * 0.8, top), dent, (w * 0.8, top), (w, top + 0.06),
        (low, y), (low * 0.6, y + 0.1), (0, y + 0.13), (-low * 0.6, y + 0.1))
    b.add("crown", crown, felt, at={"crown top left": (-w * 0.9, top + 0.03),
        "crown top right": (w * 0.9, top + 0.03), "crown top": (dent[0], dent[1] + 0.02)})
    band = poly((-low * 0.97, y - 0.18), (0, y - 0.08), (low * 0.97, y - 0.18), (low, y),
        (low * 0.6, y + 0.1), (0, y + 0.13), (-low * 0.6, y + 0.1), (-low, y))
    b.add("band", band, Paint(d.color(*CLOTH), "cloth", 0.2, 0.8), at={"band left": (-low * 0.96, y - 0.1),
        "band right": (low * 0.96, y - 0.1)}, detail=0.15, on="crown")
    if d.chance(0.35):
        c, s = cos_sin(-70)
        b.add("feather", ribbon([(low * 0.8, y - 0.02), (low + 0.1, y - 0.4), (low + 0.3 * c, y - 0.9 * -s)],
            [0.06, 0.18, 0.03]), Paint(d.color((200, 60, 50), (90, 140, 90)), "fur"),
            at={"feather tip": (low + 0.3 * c, y - 0.9 * -s)}, detail=0.4)
    return b


@category(
    "shoe", parts="upper, sole, lace, collar, stripe",
    keypoints="toe, toe bottom, heel back, heel bottom, collar front, collar back, lace top, lace bottom, "
              "instep",
    places=("flat", "room", "street"), turn=8,
)
def shoe(d: Dice) -> Blueprint:
    """A sports shoe, side view."""
    b = Blueprint()
    main = Paint(d.color(*CLOTH, (236, 234, 230), (226, 120, 50)), "cloth", 0.2, 0.8)
    high, sole = d.between(-0.55, -0.3), d.between(0.12, 0.2)
    b.add("collar", ellipse(-0.58, high + 0.02, 0.3, 0.1, 10), Paint(tint(main.color, 0.5), "cloth"),
        at={"collar back": (-0.86, high)}, detail=0.3, on="upper")
    upper = blob((-0.9, high - 0.02), (-0.72, high + 0.06), (-0.34, high + 0.1), (-0.1, -0.08), (0.3, 0.06),
        (0.8, 0.2), (0.98, 0.44), (0.9, 0.56), (-0.3, 0.56), (-0.94, 0.56), (-0.96, 0.2))
    b.add("upper", upper, main, lines=[arc(0.98, 0.56, 0.44, 0.4, 180, 262, 8)], at={
        "toe": (0.96, 0.42), "heel back": (-0.96, 0.24), "collar front": (-0.34, high + 0.1),
        "instep": (0.1, 0.0)})
    if d.chance(0.6):
        b.add("stripe", poly((-0.3, 0.5), (-0.06, 0.5), (0.12, 0.08), (-0.02, 0.02)),
            Paint(tint(main.color, 0.5) if sum(main.color) > 380 else (240, 240, 236), "plain"), detail=0.5,
            on="upper")
    white = Paint((240, 240, 236), "plain", 0.1, 0)
    for k in range(count := d.whole(3, 4)):
        x, y = -0.26 + 0.5 * k / count, high + 0.2 + (0.1 - high) * 0.72 * k / count
        name = {0: "lace top", count - 1: "lace bottom"}.get(k)
        b.add("lace", wire((x - 0.11, y + 0.08), (x + 0.09, y - 0.05), width=0.05, smooth=False), white,
            at={name: (x, y)} if name else {}, detail=0.3, on="upper")
    rubber = Paint(d.color((240, 240, 236), (60, 60, 64), (200, 160, 110)), "fine", 0.1, 0.5)
    b.add("sole", blob((-0.98, 0.52), (0, 0.54), (0.96, 0.5), (1.0, 0.52 + sole), (0, 0.55 + sole),
        (-0.98, 0.54 + sole)), rubber,
        at={"toe bottom": (0.97, 0.52 + sole), "heel bottom": (-0.95, 0.53 + sole)})
    return b
