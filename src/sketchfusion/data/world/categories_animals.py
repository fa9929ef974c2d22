"""Animals that walk on four legs, and small land animals."""

from __future__ import annotations

from collections.abc import Sequence

from sketchfusion.data.world.dice import Color, Dice, tint
from sketchfusion.data.world.recipe import Blueprint, Paint, category
from sketchfusion.data.world.shapes import Point, arc, blob, ellipse, lens, poly, ribbon, wire

DARK: Color = (30, 26, 26)
FURS = (150, 110, 74), (190, 160, 122), (96, 76, 62), (60, 56, 58), (200, 192, 180), (176, 116, 66), (130,
    128, 128)


def add_eye(b: Blueprint, x: float, y: float, size: float, *, at: str = "", white: bool = False,
        on: str = "head") -> None:
    """A dark eye, with white about it if asked, that is the key point ``at``."""
    if white:
        b.add("eye", ellipse(x, y, size), Paint((244, 242, 236), "plain", 0.3, 0.4), detail=0.25, on=on)
    b.add("eye", ellipse(x, y, size * (0.5 if white else 1)), Paint(DARK, "plain", 0.8, 0.3),
        at={at: (x, y)} if at else {},
        detail=0.2, on=on)


def add_legs(b: Blueprint, paint: Paint, feet: Sequence[tuple[str, float, float, float]], foot: float,
        width: float) -> None:
    """Legs from (name, hip x, hip y, foot x) down to y = ``foot``; each foot is the key point ``name``."""
    for name, x, y, foot_x in feet:
        knee: Point = ((x + foot_x) / 2 + 0.03, (y + foot) / 2)
        leg = ribbon([(x, y), knee, (foot_x, foot)], [width * 1.5, width, width * 0.95])
        b.add("leg", leg, paint, at={name: (foot_x, foot)}, detail=0.05)


def four_legs(b: Blueprint, paint: Paint, front: float, back: float, hip: float, foot: float,
        width: float) -> None:
    """The far pair of legs, darker; call ``add_legs`` for the near pair."""
    far = Paint(tint(paint.color, 0.72), paint.texture, 0.05, 0.8)
    add_legs(b, far, (("far front foot", front - 0.14, hip, front - 0.12),
        ("far back foot", back + 0.16, hip, back + 0.18)), foot - 0.04, width)


@category(
    "dog", parts="body, leg, tail, head, ear, muzzle, eye, collar",
    keypoints="nose, eye, ear tip, throat, back middle, tail base, tail tip, front foot, back foot, "
              "far front foot, far back foot",
    places=("ground", "ground", "room", "street"), turn=4,
)
def dog(d: Dice) -> Blueprint:
    """Side view: level back, muzzle, hanging or pricked ear, raised tail."""
    b = Blueprint()
    fur = Paint(d.color(*FURS), "fur", 0.05, 0.9)
    foot, long, thick = d.between(0.72, 0.95), d.between(0.52, 0.66), d.between(0.24, 0.32)
    four_legs(b, fur, long - 0.1, -long + 0.04, 0.15, foot, 0.13)
    rise = d.between(-0.6, -0.25)
    b.add("tail", ribbon([(-long, -0.05), (-long - 0.2, -0.2), (-long - 0.26, rise)], [0.14, 0.11, 0.06]),
        fur,
        at={"tail base": (-long - 0.02, -0.06), "tail tip": (-long - 0.26, rise)})
    body = blob((-long - 0.06, -0.02), (-long + 0.1, -thick), (0, -thick * 0.85), (long - 0.1, -thick - 0.06),
        (long + 0.08, 0.0),
                (long - 0.08, thick), (0.05, thick * 0.7), (-long + 0.14, thick * 0.75))
    b.add("body", body, fur, at={"back middle": (0, -thick * 0.84)})
    add_legs(b, fur, (("front foot", long - 0.1, 0.1, long - 0.06),
        ("back foot", -long + 0.08, 0.05, -long + 0.04)), foot, 0.14)
    x, y = long + 0.12, -0.56
    b.add("body", ribbon([(long - 0.08, -0.08), (x - 0.02, y + 0.08)], [0.4, 0.28]), fur,
        at={"throat": (x + 0.06, y + 0.26)})
    if d.chance(0.45):
        b.add("collar", wire((x - 0.24, y + 0.26), (x + 0.05, y + 0.36), width=0.06),
            Paint(d.color((190, 40, 40), (40, 70, 160))), detail=0.7)
    b.add("head", ellipse(x, y, 0.25, 0.23), fur)
    b.add("muzzle", ribbon([(x + 0.12, y + 0.05), (x + 0.4, y + 0.1)], [0.26, 0.18]), fur, on="head",
        lines=[[(x + 0.46, y + 0.13), (x + 0.2, y + 0.15)]])
    b.add("muzzle", ellipse(x + 0.48, y + 0.05, 0.06, 0.055), Paint(DARK, "plain", 0.7),
        at={"nose": (x + 0.5, y + 0.05)}, detail=0.1, on="head")
    add_eye(b, x + 0.1, y - 0.06, 0.045, at="eye")
    dark = Paint(tint(fur.color, 0.7), "fur", 0, 0.6)
    if d.chance(0.6):
        tip = (x - 0.16, y + 0.26)
        b.add("ear", blob((x - 0.14, y - 0.2), (x + 0.0, y - 0.1), (x - 0.06, y + 0.16), tip,
            (x - 0.24, y + 0.06)), dark, at={"ear tip": tip}, on="head")
    else:
        tip = (x - 0.16, y - 0.46)
        b.add("ear", poly((x - 0.22, y - 0.1), tip, (x + 0.02, y - 0.18)), dark, at={"ear tip": tip},
            on="head")
    return b


@category(
    "cat", parts="body, leg, tail, head, ear, eye, nose, whisker",
    keypoints="left ear tip, right ear tip, left eye, right eye, nose, chin, left paw, right paw, "
              "tail tip, tail base",
    places=("room", "ground", "room"), turn=5,
)
def cat(d: Dice) -> Blueprint:
    """Sitting, seen from the front: pointed ears, whiskers, a curled tail."""
    b = Blueprint()
    coat = d.chance(0.4)
    fur = Paint(d.color((196, 130, 70), (120, 116, 112), (60, 56, 58), (210, 200, 186), (150, 120, 90)),
        "bands" if coat else "fur", 0.05, 0.9)
    w, tall, curl = d.between(0.4, 0.5), d.between(0.0, 0.12), d.between(0.1, 0.55)
    b.add("tail", ribbon([(0.25, 0.84), (0.66, 0.8), (0.78, 0.5), (0.7, 0.84 - curl - 0.3)],
        [0.16, 0.15, 0.13, 0.1]), fur,
        at={"tail base": (0.5, 0.84), "tail tip": (0.7, 0.84 - curl - 0.32)})
    b.add("body", blob((-0.24, -0.3), (0.24, -0.3), (w * 0.9, 0.25), (w, 0.75), (0.3, 0.95), (-0.3, 0.95),
        (-w, 0.75), (-w * 0.9, 0.25)), fur)
    for side, name in ((-1, "left"), (1, "right")):
        b.add("leg", ribbon([(side * 0.14, 0.2), (side * 0.14, 0.86)], [0.2, 0.2]), fur, detail=0.3)
        b.add("leg", ellipse(side * 0.16, 0.9, 0.15, 0.09), fur, at={f"{name} paw": (side * 0.16, 0.95)},
            detail=0.15)
    y = -0.45 - tall
    for side, name in ((-1, "left"), (1, "right")):
        tip = (side * 0.36, y - 0.52)
        b.add("ear", poly((side * 0.4, y - 0.06), tip, (side * 0.08, y - 0.3)), fur,
            at={f"{name} ear tip": tip}, on="head")
        b.add("ear", poly((side * 0.34, y - 0.18), (side * 0.33, y - 0.42), (side * 0.17, y - 0.28)),
            Paint((206, 150, 140), "fur"), detail=0.7, on="head")
    b.add("head", ellipse(0, y, 0.42, 0.36), fur, at={"chin": (0, y + 0.34)}, lines=[
        arc(-0.07, y + 0.15, 0.07, 0.06, 0, 150, 6), arc(0.07, y + 0.15, 0.07, 0.06, 30, 180, 6)])
    color = d.color((170, 190, 70), (90, 160, 110), (214, 160, 50), (110, 160, 200))
    for side, name in ((-1, "left"), (1, "right")):
        b.add("eye", ellipse(side * 0.17, y - 0.04, 0.085, 0.075), Paint(color, "plain", 0.6, 0.3),
            at={f"{name} eye": (side * 0.17, y - 0.04)}, detail=0.1, on="head")
        b.add("eye", ellipse(side * 0.17, y - 0.04, 0.026, 0.07), Paint(DARK, "plain"), detail=0.6, on="head")
        for k in (-1, 0, 1):
            b.add("whisker", wire((side * 0.14, y + 0.14 + 0.02 * k), (side * 0.6, y + 0.12 + 0.1 * k),
                width=0.014, smooth=False),
                  Paint((236, 234, 230), "plain"), detail=0.3, on="head")
    b.add("nose", poly((-0.06, y + 0.08), (0.06, y + 0.08), (0, y + 0.15)),
        Paint((200, 120, 120), "plain", 0.4), at={"nose": (0, y + 0.1)}, detail=0.1, on="head")
    return b


@category(
    "elephant", parts="body, leg, tail, head, ear, trunk, tusk, eye",
    keypoints="eye, ear middle, trunk base, trunk middle, trunk tip, tusk tip, back top, tail tip, "
              "front foot, back foot, far front foot, far back foot",
    places=("ground",), turn=4,
)
def elephant(d: Dice) -> Blueprint:
    """Side view: great body, trunk, large ear, at times tusks."""
    b = Blueprint()
    hide = Paint(d.color((136, 134, 138), (120, 112, 106), (150, 146, 150)), "noise", 0.05, 0.9)
    foot, up = d.between(0.72, 0.85), d.chance(0.3)
    four_legs(b, hide, 0.3, -0.62, 0.2, foot, 0.24)
    b.add("tail", wire((-0.76, -0.2), (-0.88, 0.05), (-0.86, 0.32), width=0.05), hide,
        at={"tail tip": (-0.86, 0.32)}, detail=0.3)
    b.add("body", blob((-0.8, -0.05), (-0.66, -0.42), (-0.2, -0.56), (0.3, -0.46), (0.42, 0), (0.3, 0.34),
        (-0.2, 0.42), (-0.66, 0.34)), hide,
        at={"back top": (-0.2, -0.54)})
    add_legs(b, hide, (("front foot", 0.22, 0.2, 0.22), ("back foot", -0.58, 0.2, -0.58)), foot, 0.26)
    end = (1.08, -0.55) if up else (0.82, 0.66)
    middle = (0.98, 0.05) if up else (0.9, 0.2)
    b.add("head", ellipse(0.52, -0.36, 0.3, 0.33), hide)
    b.add("trunk", ribbon([(0.7, -0.26), middle, end], [0.3, 0.2, 0.1]), hide,
        at={"trunk base": (0.78, -0.2), "trunk middle": middle, "trunk tip": end}, on="head")
    if d.chance(0.65):
        b.add("tusk", ribbon([(0.68, -0.06), (0.86, 0.14), (1.04, 0.1)], [0.08, 0.07, 0.02]),
            Paint((240, 232, 210), "plain", 0.4), at={"tusk tip": (1.03, 0.1)}, detail=0.4, on="head")
    big = d.between(0.9, 1.15)
    b.add("ear", blob((0.42, -0.62), (0.5, -0.3), (0.36, 0.06 * big), (0.12, 0.02), (0.0, -0.32),
        (0.14, -0.62)), Paint(tint(hide.color, 0.88), "noise", 0, 0.6),
        at={"ear middle": (0.24, -0.3)}, on="head")
    add_eye(b, 0.66, -0.42, 0.04, at="eye")
    return b


@category(
    "giraffe", parts="body, leg, tail, neck, head, ear, horn, eye, spot",
    keypoints="nose, eye, horn tip, ear tip, neck middle, shoulder, rump, tail tip, front foot, back foot, "
              "far front foot, far back foot",
    places=("ground",), turn=4,
)
def giraffe(d: Dice) -> Blueprint:
    """Side view: very long neck, long legs, patches."""
    b = Blueprint()
    coat = Paint(d.color((222, 184, 120), (210, 166, 96)), "fur", 0.05, 0.8)
    x, y = d.between(0.5, 0.7), d.between(-1.35, -1.1)
    four_legs(b, coat, 0.26, -0.42, 0.1, 0.98, 0.1)
    b.add("tail", wire((-0.46, -0.1), (-0.6, 0.12), (-0.58, 0.4), width=0.035), coat,
        at={"tail tip": (-0.58, 0.4)}, detail=0.3)
    b.add("body", blob((-0.5, -0.02), (-0.4, -0.22), (0.0, -0.32), (0.32, -0.42), (0.42, -0.1), (0.28, 0.22),
        (-0.1, 0.2), (-0.4, 0.22)), coat,
        at={"rump": (-0.48, -0.08)})
    add_legs(b, coat, (("front foot", 0.24, 0.1, 0.26), ("back foot", -0.38, 0.08, -0.4)), 1.02, 0.105)
    b.add("neck", ribbon([(0.22, -0.12), (0.4, -0.6), (x, y)], [0.36, 0.22, 0.17]), coat,
        at={"shoulder": (0.34, -0.24), "neck middle": (0.42, -0.62)})
    patch = Paint(d.color((140, 84, 44), (120, 70, 40)), "fur", 0, 0.3)
    spots = ((-0.3, -0.05), (-0.1, -0.18), (0.02, 0.06), (-0.16, 0.1), (0.2, -0.06), (0.16, -0.26),
        (0.33, -0.42), (0.36, -0.62), (0.45, -0.8))
    for at_x, at_y in spots:
        r = d.between(0.05, 0.085) * (0.75 if at_y < -0.5 else 1)
        b.add("spot", poly(*((at_x + r * px * d.between(0.8, 1.2), at_y + r * py) for px,
            py in ((-1, -0.3), (-0.2, -1), (0.9, -0.6), (1, 0.5), (0, 1), (-0.8, 0.7)))),
              patch, detail=0.45, on="neck" if at_y < -0.4 else "body")
    for side in (0.0, 0.09):
        b.add("horn", wire((x - 0.02 + side, y - 0.06), (x - 0.04 + side, y - 0.24), width=0.04), patch,
            at={"horn tip": (x - 0.04, y - 0.24)} if side == 0 else {}, detail=0.15, on="head")
    b.add("head", ribbon([(x - 0.04, y - 0.01), (x + 0.36, y + 0.12)], [0.23, 0.14]), coat,
        at={"nose": (x + 0.4, y + 0.12)})
    b.add("ear", lens(x - 0.05, y - 0.06, 0.2, 0.12, 200), coat, at={"ear tip": (x - 0.23, y - 0.12)},
        detail=0.2, on="head")
    add_eye(b, x + 0.09, y - 0.02, 0.03, at="eye")
    return b


@category(
    "rabbit", parts="body, leg, tail, head, ear, eye, nose",
    keypoints="nose, eye, left ear tip, right ear tip, ear base, back top, tail, front foot, back foot, "
              "chest",
    places=("ground", "ground", "room"), turn=5,
)
def rabbit(d: Dice) -> Blueprint:
    """Crouching, side view: long ears, round back, ball of a tail."""
    b = Blueprint()
    fur = Paint(d.color((214, 206, 196), (150, 126, 100), (120, 116, 116), (190, 160, 126)), "fur", 0.05, 1.0)
    back, lean = d.between(-0.3, -0.12), d.between(-0.12, 0.1)
    x, y = 0.5, -0.3
    b.add("tail", ellipse(-0.8, 0.5, 0.15), Paint((240, 236, 230), "fur", 0, 1), at={"tail": (-0.86, 0.48)},
        detail=0.1)
    for shift, name in ((0.1, "right"), (-0.06, "left")):
        tip = (x + shift - 0.14 + lean * 2, y - d.between(0.78, 0.95))
        b.add("ear", lens(x + shift - 0.04, y - 0.1,
            ((tip[0] - x - shift + 0.04) ** 2 + (tip[1] - y + 0.1) ** 2) ** 0.5, 0.24,
                          -90 + (tip[0] - x - shift + 0.04) * 65),
                          Paint(tint(fur.color, 0.84 if name == "right" else 1.0), "fur", 0, 0.6), at={
            f"{name} ear tip": (x + shift - 0.04 + (tip[0] - x - shift + 0.04), tip[1] + 0.02),
            **({"ear base": (x - 0.1, y - 0.2)} if name == "left" else {})}, on="head",
            lines=[[(x + shift - 0.04, y - 0.2), ((x + shift + tip[0]) / 2 - 0.02, (y + tip[1]) / 2)]])
    b.add("body", blob((-0.8, 0.45), (-0.66, 0.0), (-0.25, back), (0.2, back + 0.08), (0.5, 0.1), (0.5, 0.55),
        (0.2, 0.82), (-0.55, 0.84)), fur,
        at={"back top": (-0.25, back + 0.01), "chest": (0.52, 0.3)})
    b.add("leg", ellipse(-0.36, 0.5, 0.32, 0.32), fur, detail=0.3)
    b.add("leg", ribbon([(-0.4, 0.82), (-0.02, 0.86)], [0.16, 0.13]), fur, at={"back foot": (0.0, 0.86)},
        detail=0.1)
    b.add("leg", ribbon([(0.34, 0.4), (0.36, 0.84), (0.5, 0.86)], [0.2, 0.14, 0.1]), fur,
        at={"front foot": (0.5, 0.86)}, detail=0.1)
    b.add("head", blob((x - 0.26, y + 0.02), (x - 0.12, y - 0.22), (x + 0.12, y - 0.2), (x + 0.34, y + 0.08),
        (x + 0.24, y + 0.26), (x - 0.1, y + 0.28)), fur)
    add_eye(b, x + 0.06, y - 0.02, 0.05, at="eye")
    b.add("nose", ellipse(x + 0.33, y + 0.07, 0.045), Paint((200, 130, 130), "plain"),
        at={"nose": (x + 0.34, y + 0.07)}, detail=0.2, on="head")
    return b


@category(
    "snail", parts="shell, body, feeler, eye",
    keypoints="shell top, shell center, shell back, shell front, head, tail tip, left feeler tip, "
              "right feeler tip, foot middle",
    places=("ground", "flat"), turn=7,
)
def snail(d: Dice) -> Blueprint:
    """A coiled shell on a creeping body with two feelers."""
    b = Blueprint()
    r, high = d.between(0.46, 0.58), d.between(0.75, 1.0)
    flesh = Paint(d.color((196, 170, 130), (150, 140, 110), (130, 110, 96)), "noise", 0.5, 0.9)
    for shift, name in ((0.1, "right"), (-0.06, "left")):
        tip = (0.86 + shift, -0.55 + d.spread(0.08))
        b.add("feeler", wire((0.74, -0.02), (0.8 + shift * 0.6, -0.3), tip, width=0.045), flesh, detail=0.05,
            on="body")
        b.add("eye", ellipse(*tip, 0.055), Paint(DARK, "plain", 0.7), at={f"{name} feeler tip": tip},
            detail=0.15, on="body")
    b.add("body", blob((-1.0, 0.64), (-0.6, 0.46), (0.2, 0.4), (0.5, 0.1), (0.7, -0.14), (0.92, 0.0),
        (0.86, 0.3), (0.7, 0.6), (0.2, 0.7), (-0.5, 0.7)), flesh,
        at={"head": (0.88, 0.06), "tail tip": (-0.98, 0.64), "foot middle": (0.0, 0.69)})
    x, y = -0.12, 0.46 - r * high
    spiral = [(x + r * (1 - k / 26) * c, y + r * high * (1 - k / 26) * s) for k,
        (c, s) in enumerate(arc(0, 0, 1, 1, 60, 60 + 24 * 38, 24).tolist())]
    b.add("shell", ellipse(x, y, r, r * high),
        Paint(d.color((170, 110, 60), (200, 160, 100), (140, 90, 80), (190, 180, 150)), "bands", 0.6, 1.1),
        lines=[spiral], at={
        "shell top": (x, y - r * high * 0.98), "shell center": (x, y), "shell back": (x - r * 0.98, y),
        "shell front": (x + r * 0.98, y)})
    return b
