"""SVG that is meant to hurt is refused before much is done for it; what is left out of the rest, and what stays."""

from __future__ import annotations

import gzip
import time
import tracemalloc

import numpy as np
import pytest

from sketchfusion import svg
from sketchfusion.errors import ImageError
from sketchfusion.sketches import read_svg
from sketchfusion.svg import Copy

NAMESPACE = "http://www.w3.org/2000/svg"
SVG = f'<svg xmlns="{NAMESPACE}" viewBox="0 0 40 20">{{}}</svg>'
LINE = '<path d="M5 5L35 15" stroke="black" stroke-width="2"/>'
DECLARED = '<!DOCTYPE svg [{}]>' + SVG


def copied(text: str) -> str:
    """What is drawn of it."""
    return Copy(text.encode(), 80, "it").text.decode()


@pytest.mark.parametrize(("inner", "message"), [
    ("<a/>" * 4_900_000, "more than 200,000 elements; simplify it or give a PNG"),
    ('<a b=""/>' * 2_200_000, "more than 200,000 elements; simplify it or give a PNG"),
    ("<a " + " ".join(f'b{number}=""' for number in range(500_000)) + "/>", "more than 1,000 attributes in one"),
    (("<a " + " ".join(f'b{number}=""' for number in range(900)) + "/>") * 1200, "more than 1,000,000 attributes"),
])
def test_too_many_parts_are_refused_soon(inner: str, message: str) -> None:
    data = gzip.compress(SVG.format(inner).encode())
    before = time.process_time()
    with pytest.raises(ImageError, match=rf"the sketch has {message}"):
        read_svg(data)
    assert time.process_time() - before < 4  # as a tree, twelve seconds and more


@pytest.mark.parametrize(("text", "message"), [
    (DECLARED.format("<!ATTLIST a " + " ".join(f'b{number} CDATA ""' for number in range(300_000)) + ">", "<a/>"),
     "more than 1,000 declarations"),
    (DECLARED.format(f'<!ATTLIST a b CDATA "{"x" * 1_000_000}">', "<a/>" * 10_000), "more than 40,000,000 bytes once"),
    (DECLARED.format(f'<!ENTITY e "{"x" * 1000}">', f'<a b="{"&e;" * 900_000}"/>'), "more than 20,000,000 bytes once"),
    (DECLARED.format('<!ENTITY e "x"><!ENTITY f "&e;&e;">', LINE), "its entity 'f' holds others"),
])
def test_declarations_do_not_let_it_grow(text: str, message: str) -> None:
    before = time.process_time()
    with pytest.raises(ImageError, match=message):
        copied(text)
    assert time.process_time() - before < 4


def test_a_long_namespace_is_not_put_into_each_name() -> None:
    names = "".join(f"<long:a{number}/>" for number in range(2000))
    text = SVG.replace(">", f' xmlns:long="{"u" * 200_000}">', 1).format(names).encode()
    tracemalloc.start()
    try:
        Copy(text, 80, "it")
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20  # put in, 400 MB
    finally:
        tracemalloc.stop()


def test_as_many_parts_as_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svg, "MAX_ELEMENTS", 3)
    monkeypatch.setattr(svg, "MAX_ATTRIBUTES", 6)
    monkeypatch.setattr(svg, "MAX_IN_ONE", 3)
    assert copied(SVG.format(LINE + "<a b=''/>")).count("<a") == 1
    for inner in (LINE + "<a/><a/>", LINE + "<a b='' c=''/>", "<a b='' c='' d='' e=''/>"):
        with pytest.raises(ImageError, match="simplify it or give a PNG"):
            copied(SVG.format(inner))


def test_long_paths_are_drawn() -> None:
    x = np.linspace(1, 38, 180_000)
    paths = "".join('<path fill="none" stroke="black" stroke-width=".1" d="M1 1'
                    + "".join(f"L{point:.6f} {5 + row + index % 7 / 10}" for index, point in enumerate(x)) + '"/>'
                    for row in range(7))
    assert 17_000_000 < len(paths) < svg.MAX_BYTES
    assert read_svg(SVG.format(paths).encode()).size == (512, 256)


def test_what_is_left_out_and_what_stays() -> None:
    inner = ('<image href="a.png"/><g id="1 &lt; &quot;2&quot;"><script>bad()<image/></script><Image/>'
             '<foreignObject><path d="M1 1"/><image/><path d="M2 2"/></foreignObject><path d="M3 3"/></g>'
             f'<s:image xmlns:s="{NAMESPACE}"/><s:path xmlns:s="{NAMESPACE}" d="M4 4"/><style>a > b &amp; c</style>')
    assert copied(SVG.format(inner)) == (
        f'<svg xmlns="{NAMESPACE}" viewBox="0 0 40 20" width="80" height="40">'
        '<g id=\'1 &lt; "2"\'><path d="M3 3"></path></g>'
        f'<s:path xmlns:s="{NAMESPACE}" d="M4 4"></s:path><style>a &gt; b &amp; c</style></svg>')


def test_entities_that_drawing_programs_write() -> None:
    text = DECLARED.format(f'<!ENTITY ns_svg "{NAMESPACE}"><!ENTITY ink "black">', LINE.replace("black", "&ink;"))
    text = text.replace(f'xmlns="{NAMESPACE}"', 'xmlns="&ns_svg;"')
    assert np.array_equal(np.asarray(read_svg(text.encode())), np.asarray(read_svg(SVG.format(LINE).encode())))


def test_the_text_may_have_any_encoding_of_xml() -> None:
    expected = np.asarray(read_svg(SVG.format(LINE).encode()))
    for encoding in ("utf-16", "iso-8859-1"):
        text = f'<?xml version="1.0" encoding="{encoding}"?>' + SVG.format(LINE + "<desc>caf\xe9</desc>")
        assert np.array_equal(np.asarray(read_svg(text.encode(encoding))), expected)
