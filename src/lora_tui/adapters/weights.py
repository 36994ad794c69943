"""Computes what the weights of an adapter say: damaged tensors, norms, effective ranks.

The only module that imports numpy; whoever needs no figures must not load it. A file is read in
pieces, so memory is bounded by the largest rank (`MAX_RANK`), not by the file. The product B·A is
never formed: its singular values are those of a matrix of rank × rank (`_singular_values`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from lora_tui.adapters.config import AdapterConfig
from lora_tui.adapters.float_types import ALWAYS_FINITE, FLOAT_TYPES, values_of_bytes
from lora_tui.adapters.header import PREFIX_BYTES, Header, Tensor, lora_header, read_header_at
from lora_tui.adapters.modules import adapted_modules
from lora_tui.adapters.tensor_names import shown_name
from lora_tui.adapters.weight_facts import (
    MAX_DAMAGED_LISTED,
    DamagedTensor,
    ModuleWeights,
    WeightFacts,
    place_of,
)
from lora_tui.adapters.weight_layout import (
    Layout,
    LoraPair,
    further_factors,
    lora_pairs,
    matrix_layout,
)
from lora_tui.errors import IntegrityError
from lora_tui.files import translate_disk_errors

# before numpy is loaded: one thread is as fast for matrices this narrow, and leaves the other
# processors to the interface
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import numpy as np
import numpy.typing as npt

DEFAULT_EFFORT: Final = 5e12
"""Multiplications; some ten minutes. Modules beyond it are searched for damage only, or get only a
norm. The usual adapter of 84 MB and rank 16 takes 7e8, one of 5 GB and rank 256 takes 7e11."""

_Doubles = npt.NDArray[np.float64]
_Bytes = npt.NDArray[np.uint8]

_PIECE: Final = 1 << 17
"""Values that are converted at once: raw, as float32 and as float64 they stay in the L2 cache."""
_MOST_PIECE: Final = 1 << 21
_MIN_WIDTH: Final = 256
"""Columns of a piece where the rank is large: a narrower one makes updates of the Gram matrix, not
multiplications, the work."""
_SCAN_BYTES: Final = 1 << 20
_ALPHA: Final = ".alpha"
_TOO_LARGE: Final = "its scaled values are too large for a norm"
_DECOMPOSITION: Final = 10
"""Multiplications of the decompositions of a Gram matrix, as a multiple of rank³."""
_BATCH_VALUES: Final = 1 << 18
"""Values of Gram matrices after which their spectra are computed together."""


def measure_file(
    path: Path,
    config: AdapterConfig | None,
    *,
    effort: float = DEFAULT_EFFORT,
    check_stop: Callable[[], None] = lambda: None,
) -> WeightFacts:
    """All that the weights in a file say.

    Without a configuration norms are those of B·A. For adapters other than LoRA only damage is
    looked for. `check_stop` is called between tensors, and may raise. Raises IntegrityError where
    the file is no valid safetensors file or changes while it is read, DiskError.
    """
    with translate_disk_errors("The weights can't be read", path), path.open("rb") as file:
        return measure_descriptor(file.fileno(), config, effort=effort, check_stop=check_stop)


def measure_descriptor(
    descriptor: int,
    config: AdapterConfig | None,
    *,
    effort: float = DEFAULT_EFFORT,
    check_stop: Callable[[], None] = lambda: None,
) -> WeightFacts:
    """Like `measure_file`, of an open file, whose position is not used. Raises OSError too."""
    before = os.fstat(descriptor)
    header = read_header_at(
        lambda count, offset: os.pread(descriptor, count, offset), before.st_size
    )
    pieces = _Pieces(descriptor, PREFIX_BYTES + header.length)
    with np.errstate(all="ignore"):  # NaN and infinities are what is looked for
        facts = _Measurement(pieces, header, config, effort, check_stop).run()
    after = os.fstat(descriptor)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise _changed_error()
    return facts


def _changed_error() -> IntegrityError:
    return IntegrityError(
        "The weights changed while they were read",
        remedy="wait until whatever writes the file has ended, then try again",
    )


class _Pieces:
    """Reads the tensors of a file piece by piece; a piece is valid until the next one is read."""

    def __init__(self, descriptor: int, start: int) -> None:
        self._descriptor = descriptor
        self._start = start
        self._raw: _Bytes = np.empty(0, np.uint8)
        self._singles: npt.NDArray[np.uint32] = np.empty(0, np.uint32)
        self._doubles: _Doubles = np.empty(0)
        self._tables: dict[str, _Doubles] = {}

    def raw(self, tensor: Tensor) -> Iterator[_Bytes]:
        """The bytes of a tensor."""
        for start in range(tensor.start, tensor.end, _SCAN_BYTES):
            piece = self._buffer(min(_SCAN_BYTES, tensor.end - start))
            self._fill(piece, start)
            yield piece

    def of_rows(self, tensor: Tensor, rows: int) -> Iterator[_Doubles]:
        """Blocks of columns of a matrix of so many rows: arrays of rows × some columns."""
        columns, size = tensor.parameters // rows, FLOAT_TYPES[tensor.dtype].bytes
        width = max(_PIECE // rows, min(_MIN_WIDTH, _MOST_PIECE // rows), 1)
        for start in range(0, columns, width):
            count = min(width, columns - start)
            piece = self._buffer(rows * count * size)
            if count == columns:
                self._fill(piece, tensor.start)
            else:
                for row, line in enumerate(piece.reshape(rows, count * size)):
                    self._fill(line, tensor.start + (row * columns + start) * size)
            yield self._converted(piece, tensor.dtype).reshape(rows, count)

    def of_columns(
        self, tensor: Tensor, columns: int, first: int = 0, end: int | None = None
    ) -> Iterator[_Doubles]:
        """Blocks of rows `first` to `end` of a matrix: arrays of some rows × all columns."""
        rows, size = tensor.parameters // columns, FLOAT_TYPES[tensor.dtype].bytes
        end = rows if end is None else end
        height = max(_PIECE // columns, 1)
        for start in range(first, end, height):
            count = min(height, end - start)
            piece = self._buffer(count * columns * size)
            self._fill(piece, tensor.start + start * columns * size)
            yield self._converted(piece, tensor.dtype).reshape(count, columns)

    def value(self, tensor: Tensor) -> float:
        """The value of a tensor that has only one."""
        piece = self._buffer(tensor.end - tensor.start)
        self._fill(piece, tensor.start)
        return float(self._converted(piece, tensor.dtype)[0])

    def _buffer(self, size: int) -> _Bytes:
        if len(self._raw) < size:
            self._raw = np.empty(size, np.uint8)
        return self._raw[:size]

    def _fill(self, piece: _Bytes, start: int) -> None:
        done = 0
        while done < len(piece):
            read = os.preadv(self._descriptor, [piece[done:].data], self._start + start + done)
            if read == 0:
                raise _changed_error()
            done += read

    def _converted(self, piece: _Bytes, dtype: str) -> _Doubles:
        bits = piece.view(_unsigned(dtype))
        count = len(bits)
        if len(self._doubles) < count:
            self._doubles = np.empty(count)
            self._singles = np.empty(count, np.uint32)
        doubles = self._doubles[:count]
        if dtype == "BF16":  # the upper half of a float32
            singles = self._singles[:count]
            np.copyto(singles, bits)
            np.left_shift(singles, 16, out=singles)
            np.copyto(doubles, singles.view("<f4"))
        elif bits.itemsize == 1:
            np.take(self._table(dtype), bits, out=doubles)
        else:
            np.copyto(doubles, bits.view(f"<f{bits.itemsize}"))
        return doubles

    def _table(self, dtype: str) -> _Doubles:
        if dtype not in self._tables:
            self._tables[dtype] = np.array(values_of_bytes(dtype))
        return self._tables[dtype]


class _Measurement:
    """One file: which tensors belong together, and their figures."""

    def __init__(
        self,
        pieces: _Pieces,
        header: Header,
        config: AdapterConfig | None,
        effort: float,
        check_stop: Callable[[], None],
    ) -> None:
        self._pieces = pieces
        self._tensors = tensors = header.tensors
        self._config = config
        self._effort = effort
        self._check_stop = check_stop
        self._damaged: list[DamagedTensor] = []
        self._modules: list[ModuleWeights] = []
        self._batches: dict[int, _Batch] = {}
        """By rank."""
        self._unread = 0
        self._names = {id(tensor): name for name, tensor in tensors.items()}
        pairs, others = lora_pairs(tensors)
        is_lora = config is None or config.is_lora
        self._pairs: Mapping[str, LoraPair] = pairs if is_lora else {}
        self._others = others if is_lora else tuple(tensors)
        self._factors = further_factors(self._others)
        adapted = adapted_modules(lora_header(header), config, self._alphas()) if is_lora else ()
        self._adapted = {module.name: module for module in adapted}

    def run(self) -> WeightFacts:
        """Read every tensor once."""
        modules = self._modules
        for raw in sorted(self._pairs, key=place_of):
            self._check_stop()
            modules.append(self._module(raw, self._pairs[raw]))
            rank = modules[-1].rank
            batch = self._batches.get(rank)
            if batch and sum(map(len, batch.down)) * rank**2 > _BATCH_VALUES:
                self._finish_batch(rank)
        for rank in list(self._batches):
            self._finish_batch(rank)
        for name in self._others:
            self._check_stop()
            self._scan(self._tensors[name])
        floats = sum(tensor.dtype in FLOAT_TYPES for tensor in self._tensors.values())
        return WeightFacts(
            tensors=floats,
            other_tensors=sum(self._tensors[name].dtype in FLOAT_TYPES for name in self._others),
            modules=tuple(modules),
            damaged=tuple(self._damaged[:MAX_DAMAGED_LISTED]),
            damaged_count=len(self._damaged),
            scaled=all(module.scaling is not None for module in modules),
            unread=self._unread,
        )

    def _module(self, raw: str, pair: LoraPair) -> ModuleWeights:
        """The figures of a module."""
        adapted = self._adapted[shown_name(raw)]
        empty = ModuleWeights(adapted.name, adapted.rank or 0, adapted.scaling)
        layout = matrix_layout(pair, adapted, self._config, self._factors.get(raw))
        if isinstance(layout, str):
            return self._unevaluated(empty, pair, layout)
        empty = replace(empty, rank=layout.rank, experts=layout.experts)
        cost = layout.rank * (layout.down.parameters + layout.up.parameters)
        if cost > self._effort:
            return self._unevaluated(empty, pair, "it would take too long")
        self._effort -= cost
        down, up = self._gram_down(layout), self._gram_up(layout)
        if not (np.isfinite(down).all() and np.isfinite(up).all()):
            damaged = [self._scan(tensor) for tensor in (layout.down, layout.up)]
            problem = None if any(damaged) else "its values are too large to be multiplied"
            return replace(empty, damaged=any(damaged), problem=problem)
        scaling = empty.scaling
        if scaling is not None and not math.isfinite(scaling):
            return replace(empty, problem="its scaling is not a number")
        factor = 1.0 if scaling is None else abs(scaling)
        cost = _DECOMPOSITION * layout.rank**3 * layout.experts
        if cost > self._effort:
            norm = math.sqrt(max(0.0, float((down * up).sum()))) * factor
            if not math.isfinite(norm):
                return replace(empty, problem=_TOO_LARGE)
            problem = "its rank is so large that only the norm was computed"
            return replace(empty, norm=norm, problem=problem)
        self._effort -= cost
        batch = self._batches.setdefault(layout.rank, _Batch([], [], [], []))
        batch.places.append(len(self._modules))
        batch.factors.append(factor)
        batch.down.append(down)
        batch.up.append(up)
        return empty

    def _unevaluated(self, module: ModuleWeights, pair: LoraPair, problem: str) -> ModuleWeights:
        damaged = [self._scan(tensor) for tensor in (pair.down, pair.up) if tensor]
        return replace(module, problem=problem, damaged=any(damaged))

    def _finish_batch(self, rank: int) -> None:
        """Compute the figures of modules of one rank: one call of LAPACK's costs less than many."""
        batch = self._batches.pop(rank)
        figures = _Figures.of(
            _singular_values(np.concatenate(batch.down), np.concatenate(batch.up))
        )
        first = 0
        for place, factor in zip(batch.places, batch.factors, strict=True):
            module = self._modules[place]
            self._modules[place] = figures.put_into(
                module, slice(first, first + module.experts), factor
            )
            first += module.experts

    def _alphas(self) -> dict[str, float]:
        """Module → alpha, which kohya's trainers store beside the matrices."""
        return {
            shown_name(name.removesuffix(_ALPHA)): self._pieces.value(self._tensors[name])
            for name in self._others
            if name.endswith(_ALPHA)
            and self._tensors[name].parameters == 1
            and self._tensors[name].dtype in FLOAT_TYPES
        }

    def _gram_down(self, layout: Layout) -> _Doubles:
        """A·Aᵀ of each expert: experts × rank × rank."""
        gram = np.zeros((layout.experts, layout.rank, layout.rank))
        if layout.transposed:
            for block in self._pieces.of_columns(layout.down, layout.rank):
                _add_gram(gram, block.T[np.newaxis])
        else:
            for block in self._pieces.of_rows(layout.down, layout.rank * layout.experts):
                _add_gram(gram, block.reshape(layout.experts, layout.rank, -1))
        return gram

    def _gram_up(self, layout: Layout) -> _Doubles:
        """Bᵀ·B of each expert: experts × rank × rank; of a grouped convolution block-diagonal."""
        gram = np.zeros((layout.experts, layout.rank, layout.rank))
        if layout.transposed:
            for block in self._pieces.of_rows(layout.up, layout.rank):
                _add_gram(gram, block[np.newaxis])
        elif layout.experts > 1 and not layout.stacked:  # PEFT: outputs × rank × experts
            for block in self._pieces.of_columns(layout.up, layout.rank * layout.experts):
                cube = block.reshape(len(block), layout.rank, layout.experts)
                _add_gram(gram, np.ascontiguousarray(cube.transpose(2, 1, 0)))
        else:
            columns = layout.rank // layout.groups
            parts = max(layout.experts, layout.groups)
            rows = layout.up.parameters // columns // parts
            for part in range(parts):
                first = part * columns if layout.groups > 1 else 0
                expert = part if layout.experts > 1 else 0
                diagonal = slice(first, first + columns)
                place = gram[expert : expert + 1, diagonal, diagonal]
                for block in self._pieces.of_columns(
                    layout.up, columns, part * rows, (part + 1) * rows
                ):
                    _add_gram(place, block.T[np.newaxis])
        return gram

    def _scan(self, tensor: Tensor) -> bool:
        """Whether a tensor is damaged; it is then noted."""
        kind = FLOAT_TYPES.get(tensor.dtype)
        if kind is None:
            self._unread += tensor.dtype not in ALWAYS_FINITE
            return False
        nan = infinite = 0
        for piece in self._pieces.raw(tensor):
            bits = piece.view(_unsigned(tensor.dtype)) & kind.magnitude
            worst = kind.first_nan if kind.infinite is None else kind.infinite
            if int(bits.max()) < worst:
                continue
            nan += int((bits >= kind.first_nan).sum())
            if kind.infinite is not None:
                infinite += int((bits == kind.infinite).sum())
        if nan or infinite:
            name = shown_name(self._names[id(tensor)])
            self._damaged.append(DamagedTensor(name, nan, infinite))
        return bool(nan or infinite)


@dataclass(frozen=True)
class _Batch:
    """Modules of one rank whose spectra are computed together."""

    places: list[int]
    """Of the modules in the result."""
    factors: list[float]
    """Of their spectra: the size of the scaling."""
    down: list[_Doubles]
    """A·Aᵀ of each: experts × rank × rank."""
    up: list[_Doubles]


def _add_gram(gram: _Doubles, block: _Doubles) -> None:
    """Add block·blockᵀ to each Gram matrix; both have one matrix for each expert."""
    if len(block) == 1:  # in two dimensions numpy uses BLAS's symmetric product
        gram[0] += block[0] @ block[0].T
    else:
        gram += block @ block.transpose(0, 2, 1)


def _singular_values(down: _Doubles, up: _Doubles) -> _Doubles:
    """The singular values of B·A, the largest first, from A·Aᵀ and Bᵀ·B (experts × rank × rank).

    With A·Aᵀ = Q·Λ·Qᵀ, the matrix Λ^½·Qᵀ·(BᵀB)·Q·Λ^½ has the eigenvalues of (BA)ᵀ(BA) that differ
    from zero (Golub and Van Loan, "Matrix Computations", 4th ed., sections 2.4 and 8.1). Values
    below the rounding errors, some 1e-7 of norm(A)·norm(B), are zero.
    """
    experts, rank, _ = down.shape
    traces = [np.trace(gram, axis1=1, axis2=2) for gram in (down, up)]
    safe = [np.where(trace > 0, trace, 1.0).reshape(experts, 1, 1) for trace in traces]
    values, vectors = np.linalg.eigh(down / safe[0])
    roots = np.sqrt(np.maximum(values, 0.0))
    core = vectors.transpose(0, 2, 1) @ (up / safe[1]) @ vectors
    core *= roots[:, :, np.newaxis] * roots[:, np.newaxis, :]
    squares = np.linalg.eigvalsh(core)[:, ::-1]
    squares = np.where(squares > 8 * rank * np.finfo(np.float64).eps, squares, 0.0)
    sizes = np.sqrt(traces[0]) * np.sqrt(traces[1])
    result: _Doubles = np.sqrt(squares) * sizes[:, np.newaxis]
    return result


@dataclass(frozen=True)
class _Figures:
    """The figures of many spectra, one in each place."""

    squares: _Doubles
    """norm² without the scaling."""
    largest: _Doubles
    stable_ranks: _Doubles
    effective_ranks: _Doubles
    energy: _Doubles
    """Spectra × powers of two."""

    @classmethod
    def of(cls, spectra: _Doubles) -> _Figures:
        """The figures of spectra × directions; ranks and energy of a zero spectrum are NaN."""
        energies = spectra**2
        totals = energies.sum(axis=1)
        shares = spectra / spectra.sum(axis=1, keepdims=True)
        logarithms = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
        rank = spectra.shape[1]
        counts = [min(2**power, rank) - 1 for power in range((rank - 1).bit_length() + 1)]
        return cls(
            squares=totals,
            largest=spectra[:, 0],
            stable_ranks=totals / energies[:, 0],
            effective_ranks=np.exp(-(shares * logarithms).sum(axis=1)),
            energy=(np.cumsum(energies, axis=1) / totals[:, np.newaxis])[:, counts],
        )

    def put_into(self, module: ModuleWeights, places: slice, factor: float) -> ModuleWeights:
        """The module with its figures: those of all its experts together, or their means."""
        norm = math.sqrt(math.fsum(self.squares[places].tolist())) * factor
        largest = max(self.largest[places].tolist()) * factor
        if not math.isfinite(norm) or not math.isfinite(largest):
            return replace(module, problem=_TOO_LARGE)
        if norm == 0.0:
            return replace(module, norm=norm, largest=largest)
        alive = [place for place in range(places.start, places.stop) if self.largest[place] > 0]
        return replace(
            module,
            norm=norm,
            largest=largest,
            stable_rank=math.fsum(self.stable_ranks[alive].tolist()) / len(alive),
            effective_rank=math.fsum(self.effective_ranks[alive].tolist()) / len(alive),
            energy=tuple(self.energy[alive].mean(axis=0).tolist()),
        )


def _unsigned(dtype: str) -> npt.DTypeLike:
    return np.dtype(f"<u{FLOAT_TYPES[dtype].bytes}")
