"""Cropping and averaging camera pictures: C against its twin, the twin against the mean."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_models.follow.crop import crop, crop_rgb565
from ai8x_models.follow.tracker import Region
from tests.helpers import host_c
from tests.helpers.track_cases import DECODER, TRACK


def cases(count: int) -> list[tuple[bytes, int, Region, int]]:
    """Pictures of noise and of extremes, regions of all sizes."""
    found = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        output = int(rng.choice([32, 64, 128]))
        picture = int(rng.integers(output // 4, output * 4 // 4 + 1)) * 4 + output // 2 * 2
        picture = min(picture, 5 * output)
        side = int(rng.integers(output // 4, picture // 4 + 1)) * 4
        side = (output, picture, side)[min(seed, 2)] if seed < 3 else side
        x, y = (int(v) for v in rng.integers(0, picture - side + 1, 2))
        data = rng.integers(0, 256, 2 * picture * picture).astype(np.uint8)
        if seed % 3 == 0:
            data[:] = 255
        found.append((data.tobytes(), picture, Region(x & ~1, y, side), output))
    return found


def test_c_equals_the_twin() -> None:
    """With a region that moves from picture to picture, and pictures that are cut off before."""
    asked = cases(40)
    lost = np.random.default_rng(78).integers(0, [picture + 1 for _, picture, *_ in asked])
    request = b"".join(
        np.array([picture, *region, output, lines], "<u4").tobytes() + data
        for (data, picture, region, output), lines in zip(asked, lost, strict=True)
    )
    sources = (TRACK / "crop.c", host_c.NATIVE / "crop_main.c")
    raw = host_c.run(host_c.build("crop", sources, (TRACK, DECODER)), request)
    at = 0
    for data, picture, region, output in asked:
        size = 2 * output * output
        assert raw[at : at + size] == crop_rgb565(data, picture, region, output), region
        at += size
    assert at == len(raw)


def test_the_twin_is_the_mean_of_the_area() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (256, 256, 3)).astype(np.uint8)
    half = crop(pixels, Region(0, 0, 256), 128)
    blocks = pixels.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))
    assert np.abs(half - blocks).max() <= 0.5
    assert np.array_equal(crop(pixels, Region(40, 60, 128), 128), pixels[60:188, 40:168])
    flat = np.full((480, 480, 3), 200, np.uint8)
    for side in range(128, 481, 4):
        assert (crop(flat, Region(0, 0, side), 128) == 200).all()


def test_an_edge_stays_where_it_is() -> None:
    """Whatever the region's size, to half a camera pixel."""
    ramp = np.broadcast_to(np.arange(480)[None, :, None] // 2, (480, 480, 1)).astype(np.uint8)
    for side in (132, 200, 316, 320, 400, 480):
        out = crop(ramp, Region(0, 0, side), 128)[0, :, 0].astype(float)
        there = ((np.arange(128) + 0.5) * side / 128 - 0.5) / 2
        assert np.abs(out - there).max() <= 1.0


def test_regions_outside_the_picture_are_refused() -> None:
    pixels = np.zeros((256, 256, 3), np.uint8)
    with pytest.raises(ValueError, match="outside a picture"):
        crop(pixels, Region(140, 0, 128), 128)
    with pytest.raises(ValueError, match="a region of 100 pixels"):
        crop(pixels, Region(0, 0, 100), 128)
