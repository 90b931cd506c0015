"""Images (batch, height, width, channels): patches, convolution by channels, pooling, cells."""

from __future__ import annotations

from typing import TypeAlias

from edgelearn.kernels._jit import F32, kernel

Slide: TypeAlias = tuple[int, int, int, int, int, int]
"""How filters slide, each down and across: strides, dilations, padding before."""


@kernel
def cell_means(a: F32, rows: int, columns: int, share: F32, out: F32) -> None:
    """Onto `out` (batch, cells down, cells across, channels): the mean of each cell of `a`.

    `a` may have several images a sample, one after the other: the mean is over all of them.
    """
    out[:] = out.dtype.type(0)
    frames = a.shape[0] // out.shape[0]
    for n in range(out.shape[0]):
        for frame in range(n * frames, (n + 1) * frames):
            for i in range(a.shape[1]):
                for j in range(a.shape[2]):
                    cell = out[n, i // rows, j // columns]
                    pixel = a[frame, i, j]
                    for c in range(pixel.size):
                        cell[c] += pixel[c]
    scale_cells(share, out)


@kernel
def scale_cells(share: F32, cells: F32) -> None:
    """Onto `cells` (batch, cells down, cells across, channels): each times its `share`."""
    for n in range(cells.shape[0]):
        for i in range(cells.shape[1]):
            for j in range(cells.shape[2]):
                for c in range(cells.shape[3]):
                    cells[n, i, j, c] *= share[i, j, 0]


@kernel
def _runs(x: F32, first: int, slide: Slide, out: F32) -> None:
    """`patches` of all channels without dilation: a row of a window is one run of elements."""
    sy, sx, _, _, top, left = slide
    zero = out.dtype.type(0)
    rows, columns, kh, kw, depth = out.shape
    size = kw * depth
    spots = out.reshape(rows, columns, kh, size)
    for r in range(rows):
        for a in range(kh):
            y = (first + r) * sy + a - top
            inside = 0 <= y < x.shape[0]
            line = x[y if inside else 0].reshape(x.shape[1] * depth)
            for j in range(columns):
                spot, place = spots[r, j, a], (j * sx - left) * depth
                if inside and place >= 0 and place + size <= line.size:
                    run = line[place : place + size]
                    for i in range(size):
                        spot[i] = run[i]
                else:
                    for i in range(size):
                        real = inside and 0 <= place + i < line.size
                        spot[i] = line[place + i] if real else zero


@kernel
def patches(x: F32, first: int, channel: int, slide: Slide, out: F32) -> None:
    """Onto `out` (rows, columns, kh, kw, c): what filters see of image `x` (h, w, channels).

    Row 0 of `out` is row number `first` of the convolution, channel 0 is number `channel`; beyond
    the image all is 0.
    """
    sy, sx, dy, dx, top, left = slide
    zero = out.dtype.type(0)
    height, width, depth = x.shape[0], x.shape[1], out.shape[4]
    if dx == 1 and dy == 1 and depth == x.shape[2]:
        _runs(x, first, slide, out)
        return
    for r in range(out.shape[0]):
        for a in range(out.shape[2]):
            y = (first + r) * sy + a * dy - top
            for b in range(out.shape[3]):
                shift = b * dx - left  # from the image's column 0 to that of the first window
                start = min(max((sx - 1 - shift) // sx, 0), out.shape[1])
                stop = min(max((width - 1 - shift) // sx + 1, start), out.shape[1])
                if y < 0 or y >= height:
                    stop = start
                for j in range(start):
                    for c in range(depth):
                        out[r, j, a, b, c] = zero
                for j in range(start, stop):
                    for c in range(depth):
                        out[r, j, a, b, c] = x[y, j * sx + shift, channel + c]
                for j in range(stop, out.shape[1]):
                    for c in range(depth):
                        out[r, j, a, b, c] = zero


@kernel
def depthwise(x: F32, w: F32, first: int, slide: Slide, z: F32) -> None:
    """Onto `z` (rows, columns, m): each channel of image `x` (h, w, c) with its own m / c filters.

    `w` (kh, kw, 1, m); row 0 of `z` is row number `first` of the convolution.
    """
    sy, sx, dy, dx, top, left = slide
    height, width, channels = x.shape
    each = w.shape[3] // channels
    z[:] = z.dtype.type(0)
    for r in range(z.shape[0]):
        for j in range(z.shape[1]):
            total = z[r, j]
            for a in range(w.shape[0]):
                y = (first + r) * sy + a * dy - top
                for b in range(w.shape[1]):
                    v = j * sx + b * dx - left
                    if 0 <= y < height and 0 <= v < width:
                        pixel, taps = x[y, v], w[a, b, 0]
                        if each == 1:  # a loop of its own, that compilers put into vectors
                            for c in range(channels):
                                total[c] += pixel[c] * taps[c]
                        else:
                            for c in range(channels):
                                for m in range(c * each, (c + 1) * each):
                                    total[m] += pixel[c] * taps[m]


@kernel
def add_depthwise(x: F32, d: F32, first: int, slide: Slide, w: F32) -> None:
    """Onto `w` (kh, kw, 1, m): what errors `d` (rows, columns, m) of `depthwise` add to it."""
    sy, sx, dy, dx, top, left = slide
    height, width, channels = x.shape
    each = w.shape[3] // channels
    for r in range(d.shape[0]):
        for j in range(d.shape[1]):
            error = d[r, j]
            for a in range(w.shape[0]):
                y = (first + r) * sy + a * dy - top
                for b in range(w.shape[1]):
                    v = j * sx + b * dx - left
                    if 0 <= y < height and 0 <= v < width:
                        pixel, taps = x[y, v], w[a, b, 0]
                        if each == 1:
                            for c in range(channels):
                                taps[c] += pixel[c] * error[c]
                        else:
                            for c in range(channels):
                                for m in range(c * each, (c + 1) * each):
                                    taps[m] += pixel[c] * error[m]


@kernel
def spread(e: F32, first: int, rows: int, columns: int, out: F32) -> None:
    """Onto `out` (some rows, width, channels): rows from `first` on of what cells `e` stand for."""
    for r in range(out.shape[0]):
        for j in range(out.shape[1]):
            cell = e[(first + r) // rows, j // columns]
            pixel = out[r, j]
            for c in range(pixel.size):
                pixel[c] = cell[c]


@kernel
def max_pool(x: F32, kh: int, kw: int, sy: int, sx: int, top: int, left: int, out: F32) -> None:
    """Onto `out` (batch, h', w', c): the maximum of each window of `x`, padding left out."""
    for n in range(out.shape[0]):
        for i in range(out.shape[1]):
            y0, y1 = max(i * sy - top, 0), min(i * sy - top + kh, x.shape[1])
            for j in range(out.shape[2]):
                z0, z1 = max(j * sx - left, 0), min(j * sx - left + kw, x.shape[2])
                best = out[n, i, j]
                for c in range(best.size):
                    best[c] = x[n, y0, z0, c]
                for y in range(y0, y1):
                    for z in range(z0, z1):
                        pixel = x[n, y, z]
                        for c in range(best.size):
                            best[c] = max(best[c], pixel[c])


@kernel
def mean_pool(x: F32, kh: int, kw: int, sy: int, sx: int, top: int, left: int, out: F32) -> None:
    """Onto `out` (batch, h', w', c): the mean of each window of `x`, padding left out."""
    out[:] = out.dtype.type(0)
    for n in range(out.shape[0]):
        for i in range(out.shape[1]):
            y0, y1 = max(i * sy - top, 0), min(i * sy - top + kh, x.shape[1])
            for j in range(out.shape[2]):
                z0, z1 = max(j * sx - left, 0), min(j * sx - left + kw, x.shape[2])
                total = out[n, i, j]
                for y in range(y0, y1):
                    for z in range(z0, z1):
                        pixel = x[n, y, z]
                        for c in range(total.size):
                            total[c] += pixel[c]
                share = out.dtype.type(1) / out.dtype.type((y1 - y0) * (z1 - z0))
                for c in range(total.size):
                    total[c] *= share
