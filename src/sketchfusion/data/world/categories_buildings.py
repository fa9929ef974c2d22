"""Buildings, and what children build."""

from __future__ import annotations

from sketchfusion.data.world.dice import Dice, tint
from sketchfusion.data.world.recipe import Blueprint, Paint, category
from sketchfusion.data.world.shapes import arc, blob, box, ellipse, poly, ribbon, star, toward, wire

WALLS = (224, 206, 170), (206, 150, 120), (196, 200, 204), (230, 226, 214), (170, 90, 70), (150, 170, 190)
ROOFS = (150, 60, 46), (90, 70, 64), (70, 80, 100), (120, 90, 60)
PANE = Paint((120, 150, 176), "plain", 0.6, 0.3)


@category(
    "house", parts="wall, roof, door, window, chimney, knob",
    keypoints="roof peak, left eave, right eave, left foot, right foot, door top, door foot, window, "
              "chimney top",
    places=("ground", "ground", "street"), turn=3,
)
def house(d: Dice) -> Blueprint:
    """A gabled house with door, windows and, at times, a chimney."""
    b = Blueprint()
    brick = d.chance(0.5)
    wall = Paint(d.color(*WALLS), "brick" if brick else "noise", 0.05, 0.3)
    peak, w, eave = d.between(-1.05, -0.8), d.between(0.68, 0.85), d.between(-0.22, -0.05)
    if d.chance(0.65):
        x = d.pick((-1, 1)) * d.between(0.32, 0.45)
        b.add("chimney", box(x - 0.1, peak + 0.1, x + 0.1, eave), Paint((140, 80, 66), "brick", 0, 0.5),
            at={"chimney top": (x, peak + 0.11)}, detail=0.2)
    b.add("wall", box(-w, eave, w, 0.9), wall, at={"left foot": (-w, 0.88), "right foot": (w, 0.88)})
    tiles = [[(-w * t - 0.08, peak + (eave - peak) * t), (w * t + 0.08, peak + (eave - peak) * t)]
        for t in (0.45, 0.75)]
    b.add("roof", poly((-w - 0.16, eave + 0.04), (0, peak), (w + 0.16, eave + 0.04)),
        Paint(d.color(*ROOFS), "scales", 0.05, 0.4), lines=tiles if d.chance(0.5) else [], at={
        "roof peak": (0, peak + 0.01), "left eave": (-w - 0.14, eave + 0.03),
        "right eave": (w + 0.14, eave + 0.03)})
    x, top = d.pick((-0.4, 0.0, 0.4)) * w, d.between(0.3, 0.42)
    b.add("door", box(x - 0.15, top, x + 0.15, 0.9),
        Paint(d.color((110, 70, 44), (60, 90, 70), (150, 50, 44), (60, 70, 100)), "wood", 0.2, 0.3),
        at={"door top": (x, top + 0.01), "door foot": (x, 0.88)}, detail=0.05)
    b.add("knob", ellipse(x + 0.09, 0.64, 0.03), Paint((220, 190, 90), "plain", 0.8), detail=0.6, on="door")
    spots = [s for s in (-0.58 * w, 0.0, 0.58 * w) if abs(s - x) > 0.32][: d.whole(1, 2)]
    for k, at in enumerate(spots):
        b.add("window", box(at - 0.15, 0.16, at + 0.15, 0.44), PANE,
            lines=[[(at, 0.16), (at, 0.44)], [(at - 0.15, 0.3), (at + 0.15, 0.3)]], at={"window": (at, 0.3)}
            if k == 0 else {}, detail=0.2)
    if d.chance(0.4):
        b.add("window", ellipse(0, (peak + eave) / 2 + 0.1, 0.12), PANE, detail=0.4)
    return b


@category(
    "lighthouse", parts="tower, stripe, gallery, lantern, dome, door, rock",
    keypoints="dome top, lantern left, lantern right, gallery left, gallery right, tower left middle, "
              "tower right middle, tower foot left, tower foot right, door",
    places=("water", "ground"), turn=3,
)
def lighthouse(d: Dice) -> Blueprint:
    """A banded, tapering tower with a lantern."""
    b = Blueprint()
    w, top = d.between(0.3, 0.38), d.between(0.18, 0.22)
    white, red = (236, 232, 222), d.color((190, 40, 40), (40, 60, 110), (50, 50, 54))
    if d.chance(0.6):
        b.add("rock", blob((-0.75, 1.0), (-0.5, 0.82), (0, 0.76), (0.5, 0.84), (0.8, 1.0), (0, 1.06)),
            Paint((120, 112, 104), "foliage", 0, 0.8), detail=0.35)

    bands = d.whole(2, 3)
    gap = -0.5 + 1.4 / bands  # between two bands

    def half(y: float) -> float:
        """Half the width of the tower at this height."""
        return top + (w - top) * (y + 0.5) / 1.4

    b.add("tower", poly((-top, -0.5), (top, -0.5), (w, 0.9), (-w, 0.9)), Paint(white, "noise", 0.2, 1.0), at={
        "tower left middle": (-half(gap), gap), "tower right middle": (half(gap), gap),
        "tower foot left": (-w, 0.88), "tower foot right": (w, 0.88)})
    for k in range(bands):
        y0, y1 = -0.5 + 1.4 * (k + 0.5) / bands - 0.16, -0.5 + 1.4 * (k + 0.5) / bands + 0.16
        b.add("stripe", poly((-half(y0), y0), (half(y0), y0), (half(y1), y1), (-half(y1), y1)),
            Paint(red, "noise", 0.2, 1.0), detail=0.2, on="tower")
    b.add("door", box(-0.08, 0.66, 0.08, 0.9, 0.05), Paint((70, 50, 40), "wood"), at={"door": (0, 0.78)},
        detail=0.35, on="tower")
    b.add("lantern", box(-top * 0.7, -0.78, top * 0.7, -0.5), Paint((250, 226, 130), "plain", 0.8, 0.8),
        lines=[[(0, -0.78), (0, -0.52)]], at={"lantern left": (-top * 0.69, -0.68),
        "lantern right": (top * 0.69, -0.68)})
    b.add("gallery", box(-top * 1.35, -0.56, top * 1.35, -0.48), Paint((70, 70, 76), "metal"),
        at={"gallery left": (-top * 1.32, -0.52), "gallery right": (top * 1.32, -0.52)})
    b.add("dome", blob((-top * 0.85, -0.77), (-top * 0.5, -0.92), (0, -1.0), (top * 0.5, -0.92),
        (top * 0.85, -0.77), (0, -0.75)), Paint(red, "noise", 0.5, 1), at={"dome top": (0, -0.98)},
        detail=0.05)
    return b


@category(
    "windmill", parts="tower, cap, sail, hub, door, window",
    keypoints="hub, sail tip 1, sail tip 2, sail tip 3, sail tip 4, cap top, tower left, tower right, "
              "foot left, foot right, door",
    places=("ground",), turn=3,
)
def windmill(d: Dice) -> Blueprint:
    """A tapering tower with four lattice sails."""
    b = Blueprint()
    w, top, start = d.between(0.38, 0.46), d.between(0.22, 0.28), d.between(12, 78)
    b.add("tower", poly((-top, -0.3), (top, -0.3), (w, 1.0), (-w, 1.0)),
        Paint(d.color(*WALLS), d.pick(("brick", "noise", "wood")), 0, 1.0), at={
        "tower left": (-(top + w) / 2 * 0.95, 0.3), "tower right": ((top + w) / 2 * 0.95, 0.3),
        "foot left": (-w, 0.98), "foot right": (w, 0.98)})
    b.add("door", box(-0.11, 0.66, 0.11, 1.0, 0.1), Paint((90, 60, 40), "wood"), at={"door": (0, 0.82)},
        detail=0.25)
    b.add("window", box(-0.07, 0.22, 0.07, 0.4), PANE, detail=0.4)
    b.add("cap", blob((-top - 0.06, -0.26), (-top * 0.7, -0.52), (0, -0.64), (top * 0.7, -0.52),
        (top + 0.06, -0.26), (0, -0.23)), Paint(d.color(*ROOFS), "scales", 0.1, 1),
        at={"cap top": (0, -0.62)}, detail=0.05)
    y, reach = -0.36, d.between(0.78, 0.92)
    cloth = Paint(d.color((236, 228, 206), (206, 180, 140), (200, 90, 70)), "cloth", 0, 0.3)
    for k in range(4):
        turn = start + 90 * k
        tip = toward(0, y, reach, turn)
        frame = box(0.2, 0.0, reach - 0.02, 0.2).moved(turn=turn).moved(0, y)
        bars = [poly((x, 0.01), (x, 0.19)).moved(turn=turn).moved(0, y).points for x in (0.36, 0.52, 0.68)]
        b.add("sail", frame, cloth, lines=bars, on=f"sail {k}")
        b.add("sail", wire((0, y), tip, width=0.045, smooth=False), Paint((90, 64, 46), "wood"),
            at={f"sail tip {k + 1}": tip}, on=f"sail {k}")
    b.add("hub", ellipse(0, y, 0.07), Paint((70, 54, 44), "fine", 0.3, 1), at={"hub": (0, y)}, detail=0.15,
        on="cap")
    return b


@category(
    "castle", parts="wall, tower, battlement, roof, gate, window, flag",
    keypoints="left tower top, right tower top, left tower foot, right tower foot, gate top, gate left, "
              "gate right, left flag, right flag, wall top",
    places=("ground",), turn=3,
)
def castle(d: Dice) -> Blueprint:
    """A wall with battlements and a gate between two towers."""
    b = Blueprint()
    stone = d.color((170, 164, 156), (190, 170, 140), (150, 140, 140))
    paint, shade = Paint(stone, "brick", 0, 0.5), Paint(tint(stone, 0.9), "brick", 0, 1.0)
    wall, top, w = d.between(-0.12, 0.05), d.between(-0.55, -0.35), d.between(0.22, 0.28)
    pointed = d.chance(0.6)
    for k in range(4):
        b.add("battlement", box(-0.45 + 0.25 * k, wall - 0.13, -0.3 + 0.25 * k, wall + 0.02), paint,
            detail=0.1, on="wall")
    b.add("wall", box(-0.62, wall, 0.62, 0.9), paint, at={"wall top": (0, wall + 0.01)})
    b.add("gate", blob((-0.19, 0.9), (-0.19, 0.5), (0, 0.32), (0.19, 0.5), (0.19, 0.9)),
        Paint((80, 54, 38), "wood", 0, 0.2), at={"gate top": (0, 0.34), "gate left": (-0.18, 0.84),
        "gate right": (0.18, 0.84)}, detail=0.05,
        lines=[[(-0.07, 0.42), (-0.07, 0.88)], [(0.07, 0.42), (0.07, 0.88)]])
    for side, name in ((-1, "left"), (1, "right")):
        x = side * 0.7
        if d.chance(0.6):
            peak = top - (0.55 if pointed else 0.4)
            b.add("flag", wire((x, top), (x, peak - 0.18), width=0.025, smooth=False),
                Paint((70, 60, 54), "plain"), detail=0.3, on=f"{name} tower")
            b.add("flag", poly((x, peak - 0.18), (x + 0.24, peak - 0.11), (x, peak - 0.03)),
                Paint(d.color((200, 40, 40), (40, 80, 160), (230, 180, 50)), "plain"),
                at={f"{name} flag": (x + 0.08, peak - 0.11)}, detail=0.35, on=f"{name} tower")
        b.add("tower", box(x - w, top, x + w, 0.95), shade, at={f"{name} tower top": (x, top + 0.02),
            f"{name} tower foot": (x, 0.93)}, on=f"{name} tower")
        if pointed:
            b.add("roof", poly((x - w - 0.08, top + 0.02), (x, top - 0.55), (x + w + 0.08, top + 0.02)),
                Paint(d.color(*ROOFS), "scales", 0, 0.8), on=f"{name} tower")
        else:
            for k in (-1, 0, 1):
                b.add("battlement", box(x + k * w * 0.85 - 0.07, top - 0.13, x + k * w * 0.85 + 0.07,
                    top + 0.02), shade, on=f"{name} tower")
        b.add("window", box(x - 0.05, 0.02, x + 0.05, 0.24, 0.05), Paint((50, 46, 50), "plain", 0, 0.2),
            detail=0.35, on=f"{name} tower")
    return b


@category(
    "snowman", parts="lower ball, upper ball, head, hat, nose, eye, arm, button, scarf",
    keypoints="head top, nose tip, left eye, right eye, left hand, right hand, head center, "
              "upper ball center, lower ball center, lower ball bottom",
    places=("snow",), turn=4,
)
def snowman(d: Dice) -> Blueprint:
    """Two or three balls of snow, carrot nose, twig arms, hat."""
    b = Blueprint()
    hatted = d.chance(0.75)
    snow_ = Paint((238, 242, 248), "noise", 0.1, 1.1)
    three, r0 = d.chance(0.7), d.between(0.44, 0.5)
    r1, r2 = (d.between(0.3, 0.36), d.between(0.22, 0.27)) if three else (0.0, d.between(0.3, 0.34))
    y0 = 0.52
    y1 = y0 - r0 * 0.85 - r1 * 0.8 if three else y0 - r0 * 0.55
    y2 = (y1 - r1 * 0.85 if three else y0 - r0 * 0.85) - r2 * 0.8
    twig = Paint((90, 64, 46), "wood")
    for side, name in ((-1, "left"), (1, "right")):
        hand = (side * 0.82, y1 - d.between(0.1, 0.4))
        b.add("arm", wire((side * 0.2, y1), (side * 0.5, y1 - 0.1), hand, width=0.045), twig,
            at={f"{name} hand": hand}, detail=0.25)
        b.add("arm", wire((side * 0.7, hand[1] + 0.05), (side * 0.86, hand[1] + 0.1), width=0.03,
            smooth=False), twig, detail=0.5)
    b.add("lower ball", ellipse(0, y0, r0, r0 * 0.92), snow_,
        at={"lower ball center": (0, y0), "lower ball bottom": (0, y0 + r0 * 0.9)})
    if three:
        b.add("upper ball", ellipse(0, y1, r1, r1 * 0.95), Paint((240, 243, 250), "noise", 0.1, 1.1),
            at={"upper ball center": (0, y1)})
    for k in range(d.whole(2, 3)):
        b.add("button", ellipse(0, y1 - 0.1 + 0.17 * k, 0.04), Paint((50, 46, 46), "plain", 0.4, 0.6),
            detail=0.4, on="upper ball")
    b.add("head", ellipse(0, y2, r2), Paint((242, 245, 250), "noise", 0.1, 1.1),
        lines=[arc(0, y2 + 0.06, r2 * 0.5, r2 * 0.4, 30, 150, 6)],
        at={"head center": (0, y2 + 0.1), **({} if hatted else {"head top": (0, y2 - r2 * 0.97)})})
    for side, name in ((-1, "left"), (1, "right")):
        b.add("eye", ellipse(side * r2 * 0.36, y2 - r2 * 0.25, 0.035), Paint((30, 28, 30), "plain", 0.5),
            at={f"{name} eye": (side * r2 * 0.36, y2 - r2 * 0.25)}, detail=0.1, on="head")
    b.add("nose", poly((0.0, y2 - 0.06), (0.34, y2 + 0.05), (0.0, y2 + 0.06)),
        Paint((230, 120, 40), "fine", 0.2), at={"nose tip": (0.33, y2 + 0.05)}, detail=0.05, on="head")
    if d.chance(0.5):
        color = d.color((190, 40, 50), (50, 90, 160), (70, 140, 90))
        b.add("scarf", ribbon([(-r2 * 0.8, y2 + r2 * 0.72), (0, y2 + r2 * 0.98), (r2 * 0.8, y2 + r2 * 0.72)],
            [0.13, 0.13, 0.13]), Paint(color, "stripes", 0, 0.8), detail=0.4, on="head")
    y = y2 - r2 * 0.75
    if hatted:
        dark = Paint(d.color((40, 40, 46), (110, 40, 40), (60, 60, 90)), "cloth", 0.1, 0.8)
        b.add("hat", box(-r2 * 0.65, y - 0.34, r2 * 0.65, y), dark, at={"head top": (0, y - 0.32)},
            detail=0.15)
        b.add("hat", box(-r2 * 1.05, y - 0.05, r2 * 1.05, y + 0.03), dark, detail=0.15)
    return b


@category(
    "star", parts="body",
    keypoints="tip 1, tip 2, tip 3, tip 4, tip 5, notch 1, notch 2, notch 3, notch 4, notch 5, center",
    places=("flat", "flat", "underwater"), turn=30,
)
def star_shape(d: Dice) -> Blueprint:
    """A five-pointed star, cut from board or swollen like a cushion."""
    b = Blueprint()
    inner = d.between(0.36, 0.5)
    shape = star(0, 0, 1.0, inner)
    names = {f"tip {k + 1}": toward(0, 0, 0.97, -90 + 72 * k) for k in range(5)}
    names |= {f"notch {k + 1}": toward(0, 0, inner * 0.97, -54 + 72 * k) for k in range(5)}
    ridges = [[(0, 0), toward(0, 0, 0.85, -90 + 72 * k)] for k in range(5)] if d.chance(0.5) else []
    color = d.color((236, 196, 60), (226, 120, 60), (200, 50, 60), (90, 140, 200))
    b.add("body", shape, Paint(color, d.pick(("spots", "noise", "metal", "cloth")), 0.5, 0.8), lines=ridges,
        at={**names, "center": (0, 0)})
    return b
