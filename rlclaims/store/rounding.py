"""A fingerprint of how this process rounds, so that runs of machines that round differently are never mixed.

Libraries choose their kernels by the processor's instruction set and maker, and by environment variables
(ATEN_CPU_CAPABILITY, MKL_CBWR, OPENBLAS_CORETYPE, ...), and sums in another order round differently. Not all libraries
report their choice. The fingerprint is therefore a digest of the results of small computations, of the kinds that
training consists of: processors that compute the same bits have the same fingerprint.
"""

import hashlib
import math
import platform
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rlclaims import compiled

SHAPES = ((2, 64, 11, 8), (2, 64, 64, 64), (1, 32, 4, 64), (2, 16, 17, 3), (1, 96, 3, 1), (3, 5, 7, 9))
"""Batched matrix products: batch size, and length, depth and width of each."""
N = 1024


@cache
def arithmetic() -> str:
    """Return a fingerprint such as "x86_64-AVX2-1f0c9ab2-7be2d4c1": machine, torch's CPU capability, results, kernels.

    The last part is a digest of the compiled kernels' source, and is missing if they are not available; the kernels
    themselves round alike on all machines. The computation takes some milliseconds, draws no random number, and does
    not depend on the number of threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad(), np.errstate(all="ignore"):
            bits = hashlib.sha256(b"".join(np.ascontiguousarray(x).tobytes() for x in _results())).hexdigest()
    finally:
        torch.set_num_threads(threads)
    kernels = compiled.identity()
    name = f"{platform.machine()}-{torch.backends.cpu.get_cpu_capability()}-{bits[:8]}"
    return name if kernels is None else f"{name}-{kernels[:8]}"


def _results() -> Iterator[npt.NDArray[Any]]:
    # Exact in either precision: between -2 and 2, in steps of 2^-14.
    x_N = (np.arange(1, N + 1) * 40503 % 65536 - 32768) / 16384
    for dtype in (np.float32, np.float64):
        yield from _numpy_results(x_N.astype(dtype))
        yield from _torch_results(torch.from_numpy(x_N.astype(dtype)))
    functions = (math.sin, math.cos, math.exp, math.tanh, math.atan, lambda x: math.pow(abs(x), 0.3))
    yield np.array([function(x) for function in functions for x in x_N.tolist()])


def _numpy_results(x_N: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    square = x_N.reshape(32, 32)
    yield from (np.exp(x_N), np.log(np.abs(x_N)), np.tanh(x_N), np.sin(x_N), np.cos(x_N), np.abs(x_N) ** 0.3)
    yield from (x_N.sum(), x_N.std(), x_N.cumsum(), square.mean(0), square.std(1), np.square(square).sum(0))
    yield from (square @ square.T, square @ x_N[:32], x_N @ x_N, square[:, :11] @ square[:11, :3])
    yield np.linalg.solve(square + 40 * np.eye(32, dtype=x_N.dtype), x_N[:32])


def _torch_results(x_N: torch.Tensor) -> Iterator[npt.NDArray[Any]]:
    square = x_N.view(32, 32)
    results = [x_N.exp(), x_N.abs().log(), x_N.tanh(), x_N.sin(), x_N.cos(), x_N.sigmoid(), x_N.abs().sqrt()]
    results += [x_N.sum(), x_N.std(), x_N.cumsum(0), square.sum(0), square.mean(1), square.logsumexp(-1), x_N.dot(x_N)]
    results += [square.log_softmax(-1), square.var(1)]
    for n, length, depth, width in SHAPES:
        left = _filled(x_N, n, length, depth)
        right = _filled(x_N.flip(0), n, depth, width)
        results += [torch.bmm(left, right), torch.baddbmm(_filled(x_N, n, 1, width), left, right)]
        results += [left[0] @ right[0], left[0] @ right[0, :, 0]]
        results += [torch.bmm(left.transpose(1, 2), left), torch.bmm(right.transpose(1, 2), left.transpose(1, 2))]
    return (tensor.numpy() for tensor in results)


def _filled(x_N: torch.Tensor, *shape: int) -> torch.Tensor:
    size = math.prod(shape)
    return x_N.repeat(-(-size // N))[:size].view(shape)
