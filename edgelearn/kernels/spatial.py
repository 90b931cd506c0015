"""Images (batch, height, width, channels): patches, convolution by groups, pooling, cells."""

from __future__ import annotations

from edgelearn.kernels._jit import F32, kernel


@kernel
def cell_means(a: F32, rows: int, columns: int, share: F32, out: F32) -> None:
    """Onto `out` (batch, cells down, cells across, channels): the mean of each cell of `a`."""
    out[:] = out.dtype.type(0)
    for n in range(a.shape[0]):
        for i in range(a.shape[1]):
            for j in range(a.shape[2]):
                cell = out[n, i // rows, j // columns]
                pixel = a[n, i, j]
                for c in range(pixel.size):
                    cell[c] += pixel[c]
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                for c in range(out.shape[3]):
                    out[n, i, j, c] *= share[i, j, 0]


@kernel
def patches(
    x: F32, first: int, kh: int, kw: int, sy: int, sx: int, top: int, left: int, out: F32
) -> None:
    """Onto `out` (rows, columns, kh, kw, c): what filters see of image `x` (h, w, c).

    Row 0 of `out` is row number `first` of the convolution; beyond the image all is 0.
    """
    zero = out.dtype.type(0)
    height, width = x.shape[0], x.shape[1]
    for r in range(out.shape[0]):
        for j in range(out.shape[1]):
            for a in range(kh):
                y = (first + r) * sy + a - top
                for b in range(kw):
                    z = j * sx + b - left
                    spot = out[r, j, a, b]
                    if 0 <= y < height and 0 <= z < width:
                        pixel = x[y, z]
                        for c in range(spot.size):
                            spot[c] = pixel[c]
                    else:
                        for c in range(spot.size):
                            spot[c] = zero


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
