"""Dense maps in a few kilobytes: what comes back, how many bytes, and what is refused."""

from __future__ import annotations

import struct

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sketchfusion.errors import ConfigError, GalleryError
from sketchfusion.fusion.compact_map import HEADER, LARGEST, MAX_SIDE, averaged, compress, expand, read_layout

NEAR = 0.999  # cosine that int8 leaves of a map whose rank is kept whole


def low_rank(rank: int, *, channels: int = 24, height: int = 6, width: int = 7, seed: int = 0) -> Tensor:
    """A (D, Hf, Wf) map of that rank; its cells have all kinds of lengths."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (torch.randn(size, rank, generator=generator) for size in (channels, height * width))
    return (left @ right.T).unflatten(1, (height, width)) + 0.0


def cosines(one: Tensor, other: Tensor) -> Tensor:
    """(Hf, Wf) of two maps."""
    return F.cosine_similarity(one, other, dim=0)


@settings(deadline=None, max_examples=40)
@given(rank=st.integers(1, 6), channels=st.integers(1, 20), height=st.integers(1, 9), width=st.integers(1, 9),
       seed=st.integers(0, 99))
def test_a_map_of_the_rank_comes_back_with_the_right_size(rank: int, channels: int, height: int, width: int,
                                                          seed: int) -> None:
    given_map = low_rank(rank, channels=channels, height=height, width=width, seed=seed)
    data = compress(given_map, rank)
    found = expand(data)
    assert found.shape == given_map.shape
    assert found.dtype == torch.float32
    assert found.norm(dim=0) == pytest.approx(1, abs=1e-5)
    assert cosines(found, given_map).min() > NEAR
    kept = min(rank, channels, height * width)
    assert len(data) == HEADER.size + kept * (4 + height * width + channels) == read_layout(data).num_bytes


def test_it_is_the_best_of_its_rank() -> None:
    """No other map of the rank is nearer: what is lost are the smaller singular values, and a little to int8."""
    unit = F.normalize(low_rank(12) + 0.3 * low_rank(24, seed=1), dim=0)
    values = torch.linalg.svdvals(unit.flatten(1))
    for rank in (1, 3, 8):
        data = compress(unit, rank)
        left = torch.frombuffer(bytearray(data), dtype=torch.int8, offset=HEADER.size + 4 * rank).float()
        scale = torch.frombuffer(bytearray(data), dtype=torch.float32, offset=HEADER.size, count=rank)
        cells, basis = left[:42 * rank].view(42, rank), left[42 * rank:].view(rank, 24)
        lost = ((cells * scale) @ basis - unit.flatten(1).T).norm()
        assert float(lost) == pytest.approx(float(values[rank:].norm()), rel=0.01)


def test_a_higher_rank_is_nearer_and_larger() -> None:
    noisy = low_rank(24)
    kept = [compress(noisy, rank) for rank in (1, 4, 8, 16, 24)]
    nearness = [float(cosines(expand(data), noisy).mean()) for data in kept]
    assert nearness == sorted(nearness)
    assert nearness[-1] > NEAR
    assert [len(data) for data in kept] == sorted(len(data) for data in kept)


@pytest.mark.parametrize("rank", [2, 6, 12])
def test_cosines_are_right_on_the_average(rank: int) -> None:
    """With what the map is like; the kept part alone would be nearer to it than the map is."""
    channels = 256
    feature_map = F.normalize(low_rank(40, channels=channels, height=12, width=12), dim=0)
    query = F.normalize(feature_map.flatten(1).mean(1) + 0.02, dim=0)
    feature_map = F.normalize(feature_map + 1.5 * query[:, None, None], dim=0)
    cells = expand(compress(feature_map, rank)).flatten(1)
    truth = query @ feature_map.flatten(1)
    basis = torch.linalg.svd(feature_map.flatten(1), full_matrices=False).U[:, :rank]
    kept_alone = F.normalize(basis @ (basis.T @ feature_map.flatten(1)), dim=0)
    assert float((query @ kept_alone - truth).mean()) > 0.02
    assert abs(float((query @ cells - truth).mean())) < 0.01


def test_lengths_of_cells_count_for_nothing() -> None:
    """Long cells must not push the others out: the map is compared by cosine."""
    feature_map = low_rank(4)
    assert compress(feature_map * 2**13, 4) == compress(feature_map, 4)
    stretched = feature_map * torch.rand(6, 7, generator=torch.Generator().manual_seed(3)).add(0.01).mul(1000)
    assert cosines(expand(compress(stretched, 4)), feature_map).min() > NEAR


def test_the_same_map_gives_the_same_bytes_whatever_was_drawn_before() -> None:
    first = compress(low_rank(9), 5)
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    assert compress(low_rank(9), 5) == first
    assert torch.equal(torch.random.get_rng_state(), state)
    assert compress(low_rank(9).half().float(), 5) == compress(low_rank(9).half(), 5)


def test_signs_do_not_depend_on_the_library() -> None:
    """Of every basis vector, the entry that is farthest from zero is positive."""
    data = compress(low_rank(9), 5)
    basis = torch.frombuffer(bytearray(data), dtype=torch.int8, offset=HEADER.size + 4 * 5 + 42 * 5).view(5, 24)
    assert basis.amax(1).tolist() == [127] * 5


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_map_with_next_to_nothing_in_it(value: float) -> None:
    flat = torch.full((8, 5, 5), value)
    found = expand(compress(flat, 4))
    assert torch.allclose(found, F.normalize(flat, dim=0), atol=1e-3)


def test_a_cell_without_length_stays_one() -> None:
    feature_map = low_rank(3)
    feature_map[:, 2, 4] = 0
    found = expand(compress(feature_map, 24))
    assert cosines(found, feature_map)[2, 4] == 0
    assert (cosines(found, feature_map) > NEAR).sum() == 41


@pytest.mark.parametrize(("size", "stored"), [((60, 60), (32, 32)), ((48, 96), (16, 32)), ((100, 2), (32, 1)),
                                              ((32, 32), (32, 32)), ((5, 33), (5, 32))])
def test_large_grids_are_averaged_down_and_keep_their_places(size: tuple[int, int], stored: tuple[int, int]) -> None:
    """A map that turns evenly from left to right still does, at the same places of the canvas."""

    def turning(columns: int) -> Tensor:
        angle = (torch.arange(columns) + 0.5) / columns
        return torch.stack([angle.cos(), angle.sin()])

    found = expand(compress(turning(size[1])[:, None].expand(2, *size), 2))
    assert found.shape[1:] == stored
    assert max(stored) <= MAX_SIDE
    inner = slice(2, -2) if stored[1] > 8 else slice(None)
    assert torch.allclose(found, turning(stored[1])[:, None].expand(2, *stored), atol=0.05)
    assert cosines(found, turning(stored[1])[:, None].expand(2, *stored))[:, inner].min() > 0.9999


def test_what_averaging_loses_counts_as_lost_too() -> None:
    """Every other column at right angles: the mean is nearer to both than they are to one another."""
    striped = torch.zeros(16, 64, 64)
    striped[0, :, ::2] = striped[1, :, 1::2] = 1
    assert averaged(striped, 32).norm(dim=0) == pytest.approx(0.5**0.5, abs=0.01)
    cells = expand(compress(striped, 3))
    assert cells.norm(dim=0) == pytest.approx(1, abs=1e-5)
    assert float(cells[0].mean()) == pytest.approx(float(striped[0].mean()), abs=0.02)  # the cosine with either column


# ---- what is refused


@pytest.mark.parametrize("rank", [0, -1, 257])
def test_a_rank_out_of_range(rank: int) -> None:
    with pytest.raises(ConfigError, match=f"must be from 1 to 256, got {rank}"):
        compress(low_rank(2), rank)


@pytest.mark.parametrize("shape", [(4, 4), (1, 8, 4, 4), (8, 0, 4), (LARGEST + 1, 1, 1)])
def test_what_is_no_map(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"must be \(D, Hf, Wf\)"):
        compress(torch.zeros(shape), 2)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite(value: float) -> None:
    broken = low_rank(2)
    broken[0, 0, 0] = value
    with pytest.raises(GalleryError, match="not finite"):
        compress(broken, 2)


DATA = compress(low_rank(3), 3)


@pytest.mark.parametrize(("data", "message"), [
    (b"", "0 bytes do not begin"), (DATA[:9], "9 bytes do not begin"), (b"JFIF" + DATA[4:], "do not begin"),
    (DATA[:-1], "damaged: it has"), (DATA + b"\0", "damaged: it has"),
    (DATA[:4] + struct.pack("<H", 2) + DATA[6:], "version 2, this version of sketchfusion knows 1"),
    (HEADER.pack(b"SFCM", 1, 0, 6, 7, 3, 1), "damaged: it has"), (HEADER.pack(b"SFCM", 1, 24, 6, 7, 0, 1), "rank 0"),
    (HEADER.pack(b"SFCM", 1, *[2**16 - 1] * 4, 1), "damaged: it has 18 bytes"),
    (DATA[:14] + struct.pack("<f", 1.5) + DATA[HEADER.size:], "its scales are no scales"),
    (DATA[:HEADER.size] + struct.pack("<f", float("nan")) + DATA[HEADER.size + 4:], "its scales are no scales"),
    (DATA[:HEADER.size] + struct.pack("<f", 3e38) + DATA[HEADER.size + 4:], "its scales are no scales"),
    (DATA[:HEADER.size] + struct.pack("<f", -1.0) + DATA[HEADER.size + 4:], "its scales are no scales")])
def test_damaged_bytes_are_refused_with_what_to_do(data: bytes, message: str) -> None:
    with pytest.raises(GalleryError, match=message) as refused:
        expand(data)
    assert "--rebuild" in str(refused.value)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: DATA[:HEADER.size] + tail))
def test_any_bytes_are_a_map_or_refused(data: bytes) -> None:
    try:
        found = expand(data)
    except GalleryError:
        return
    assert found.isfinite().all()


@settings(deadline=None, max_examples=100)
@given(place=st.integers(0, len(DATA) - 1), value=st.integers(0, 255))
def test_one_changed_byte_gives_a_finite_map_or_is_refused(place: int, value: int) -> None:
    data = DATA[:place] + bytes([value]) + DATA[place + 1:]
    try:
        found = expand(data)
    except GalleryError:
        return
    assert found.shape == (24, 6, 7)
    assert found.isfinite().all()
