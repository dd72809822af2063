"""Short ways to write the stages that define a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.folding import fold_of, own_dtype, reduced_shape
from gensyn_lightning.repops.mapping import converting
from gensyn_lightning.repops.program import Program
from gensyn_lightning.repops.stage import Dim, Read, Shape, Stage, same_place
from gensyn_lightning.repops.word import Definition


@dataclass(slots=True)
class Stages:
    """A list of stages under way: its tensors are those of a kernel's views, then one a stage."""

    shapes: list[Shape]
    dtypes: list[Dtype]
    made: list[Stage] = field(default_factory=list)

    def map(  # noqa: PLR0913, PLR0917 - what a stage consists of
        self,
        definition: Definition,
        shape: Shape,
        reads: Sequence[int],
        out: int | None = None,
        words: Sequence[int] = (),
        result: int = 0,
    ) -> int:
        """Add a stage that makes `definition` of what it reads, broadcast to `shape`."""
        dtype = {"f": Dtype.F32, "d": Dtype.F64, "i": Dtype.I64}[definition.results[result]]
        program = converting(definition, [self.dtypes[each] for each in reads]).trace()[result]
        places = tuple(self._place(each, shape, len(shape)) for each in reads)
        stage = Stage(self._out(shape, dtype, out), self._kind(dtype, out), shape, program, places)
        return self._add(stage, words)

    def copy(self, number: int, shape: Shape, dims: Sequence[int]) -> int:
        """Add a stage that lays a tensor out in `shape`: dimension k of it becomes `dims[k]`."""
        return self._moved(number, shape, dims, None)

    def take(self, number: int, size: int, out: int) -> int:
        """Add a stage that puts a tensor with one dimension of more than one place into [size]."""
        at = max(range(len(self.shapes[number])), key=lambda each: self.shapes[number][each])
        return self._moved(
            number,
            (size,),
            [0 if each == at else -1 for each in range(len(self.shapes[number]))],
            out,
        )

    def _moved(self, number: int, shape: Shape, dims: Sequence[int], out: int | None) -> int:
        own = self.shapes[number]
        rows = [
            Dim(size, tuple(int(at == dim) for at in range(len(shape))))
            for size, dim in zip(own, dims, strict=True)
        ]
        dtype = self.dtypes[number] if out is None else self.dtypes[out]
        stage = Stage(
            self._out(shape, dtype, out),
            dtype,
            shape,
            Program(1, (), (), 0),
            (Read(number, tuple(rows)),),
        )
        return self._add(stage, ())

    def constant(self, word: int) -> int:
        """Add a stage that makes one binary32 number by its bits."""
        program = Program(0, (word,), (), 0)
        return self._add(Stage(self._out((1,), Dtype.F32, None), Dtype.F32, (1,), program, ()), ())

    def fold(
        self,
        term: Definition,
        reads: Sequence[int],
        dims: Sequence[int],
        out: int | None = None,
        words: Sequence[int] = (),
    ) -> int:
        """Add a stage that folds `term` along `dims` of the first read; they are kept with size 1.

        Reads broadcast to the shape of the first.
        """
        shape = self.shapes[reads[0]]
        kept = reduced_shape(shape, dims, keepdim=True)
        terms = tuple(shape[each] for each in dims)
        places = tuple(self._folded_place(each, shape, dims) for each in reads)
        kinds = [own_dtype(term), *(self.dtypes[each] for each in reads)]
        program = converting(term, kinds).trace()[0]
        number = self._out(kept, own_dtype(term), out)
        dtype = self._kind(own_dtype(term), out)
        return self._add(Stage(number, dtype, kept, program, places, fold_of(term, terms)), words)

    def _folded_place(self, number: int, full: Shape, dims: Sequence[int]) -> Read:
        """Coordinates are the kept shape's, then one for each reduced dimension."""
        lead = len(full) - len(self.shapes[number])
        rows = []
        for at, size in enumerate(self.shapes[number], lead):
            row = [0] * (len(full) + len(dims))
            row[len(full) + list(dims).index(at) if at in dims else at] = int(size != 1)
            rows.append(Dim(size, tuple(row)))
        return Read(number, tuple(rows))

    def _place(self, number: int, shape: Shape, rank: int) -> Read:
        own = self.shapes[number]
        return same_place(number, own, rank=rank, start=len(shape) - len(own))

    def _out(self, shape: Shape, dtype: Dtype, out: int | None) -> int:
        if out is not None:
            self.shapes[out] = shape
            return out
        self.shapes.append(shape)
        self.dtypes.append(dtype)
        return len(self.shapes) - 1

    def _kind(self, dtype: Dtype, out: int | None) -> Dtype:
        return dtype if out is None else self.dtypes[out]

    def _add(self, stage: Stage, words: Sequence[int]) -> int:
        self.made.append(
            Stage(
                stage.out,
                stage.dtype,
                stage.shape,
                stage.program,
                stage.reads,
                stage.fold,
                attributes=tuple(words),
            )
        )
        return stage.out
