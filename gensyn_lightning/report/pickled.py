"""What the pickle in a torch checkpoint says, told without running it.

No name in it is looked up and nothing in it is called: dicts, storages and tensors become plain
stand-ins, and so does whatever else would be called. An opcode that is not known here, or that
could change a tensor behind its name, raises `Unreadable`.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gensyn_lightning.errors import ArtifactError, Unreadable
from gensyn_lightning.training.layout import ITEM_SIZES, extent
from gensyn_lightning.training.leaf import DIMENSIONS_MAX, ELEMENTS_MAX

PICKLE_BYTES_MAX = 64 << 20
OPCODES_MAX = 1 << 22

# Names are written as pickles hold them: the module, a space, the name in it.
_STORAGES = {
    "torch BFloat16Storage": "bfloat16",
    "torch BoolStorage": "bool",
    "torch ByteStorage": "uint8",
    "torch CharStorage": "int8",
    "torch ComplexDoubleStorage": "complex128",
    "torch ComplexFloatStorage": "complex64",
    "torch DoubleStorage": "float64",
    "torch FloatStorage": "float32",
    "torch HalfStorage": "float16",
    "torch IntStorage": "int32",
    "torch LongStorage": "int64",
    "torch ShortStorage": "int16",
    "torch.storage UntypedStorage": "uint8",
}
_DTYPES = {f"torch {name}": name for name in ITEM_SIZES}
# Calling these makes a value and changes none.
_HARMLESS = {
    "__builtin__ complex",
    "__builtin__ set",
    "_codecs encode",
    "builtins complex",
    "builtins set",
    "pathlib PosixPath",
    "pathlib._local PosixPath",
    "torch Size",
    "torch device",
}


@dataclass(frozen=True, slots=True)
class Name:
    """Something the pickle names: its module, a space, its name there."""

    text: str

    @property
    def known(self) -> bool:
        """Whether calling it is known to do no more than to make a value."""
        return any(self.text in each for each in (_STORAGES, _DTYPES, _HARMLESS, _CALLS))


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers in memory; `key` names the record that holds them."""

    key: str
    dtype: str
    count: int

    @property
    def nbytes(self) -> int:
        """Length of the record."""
        return self.count * ITEM_SIZES[self.dtype]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A view of a storage; `offset` and `strides` are in elements."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(slots=True, eq=False)
class Table:
    """A dict, as the keys and values that were put into it one after another."""

    pairs: list[tuple[Any, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Opaque:
    """What a call would have made; with `foreign` it is not known what else the call does."""

    text: str
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """The value of a pickle, and the first thing it names that is not known here, if any."""

    value: Any
    foreign: str


def would_run(foreign: str) -> str:
    """Return why a pickle that names something not known here is not to be trusted."""
    return f"it names {foreign}, and loading the file would run that"


def read(data: bytes) -> Told:
    """Return what a pickle says; raise `Unreadable`, or `ArtifactError` where it is none."""
    if len(data) > PICKLE_BYTES_MAX:
        raise Unreadable(f"its pickle is longer than {PICKLE_BYTES_MAX} bytes")
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count >= OPCODES_MAX:
                raise Unreadable(f"its pickle has more than {OPCODES_MAX} opcodes")
            machine.step(opcode.name, argument)
        return Told(machine.stack.pop(), machine.foreign)
    except Unreadable:
        if machine.foreign:
            raise Unreadable(would_run(machine.foreign)) from None
        raise
    except (ValueError, LookupError) as error:
        raise ArtifactError(f"its pickle is malformed: {error}") from None


@dataclass(slots=True)
class _Machine:
    """A pickle's stack, what lies below its marks, and its memo."""

    stack: list[Any] = field(default_factory=list)
    below: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)
    foreign: str = ""

    def step(self, opcode: str, argument: Any) -> None:
        if opcode in _ARGUMENTS:
            self.stack.append(argument)
        elif opcode in _CONSTANTS:
            self.stack.append(_CONSTANTS[opcode])
        elif opcode in _OPCODES:
            _OPCODES[opcode](self, argument)
        elif opcode not in _IDLE:
            raise Unreadable(f"its pickle has the opcode {opcode}")

    def mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def marked(self) -> list[Any]:
        """Return what lies above the last mark, and go back below it."""
        found, self.stack = self.stack, self.below.pop()
        return found

    def last(self, count: int) -> list[Any]:
        """Take the last values off the stack."""
        return [self.stack.pop() for _ in range(count)][::-1]

    def put(self, place: int | None) -> None:
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def get(self, place: int) -> None:
        self.stack.append(self.memo[place])

    def named(self, text: str | None) -> None:
        if text is None:
            text = _joined(*self.last(2))
        name = Name(text)
        if not name.known:
            self.foreign = self.foreign or text.replace(" ", ".")
        self.stack.append(name)

    def stored(self, _: Any) -> None:
        match self.stack.pop():
            case ("storage", Name(text), str(key), str(_), count) if text in _STORAGES:
                made = Storage(key, _STORAGES[text], _count(count))
            case _:
                raise Unreadable("it refers to what is no storage")
        # torch keeps the first of those that have one key.
        if self.storages.setdefault(key, made) != made:
            raise Unreadable(f"storage {key} is said to be two things")
        self.stack.append(made)

    def call(self, count: int) -> None:
        """Put what a call of the first of some values with the second would make."""
        function, arguments = self.last(count)[:2]
        match function:
            case Name(text) if text in _CALLS:
                self.stack.append(_CALLS[text](arguments) or Opaque(text))
            case Name(text):
                self.stack.append(Opaque(text, not function.known))
            case Opaque(foreign=True):
                self.stack.append(function)
            case _:
                raise Unreadable("it calls what has no name")

    def tupled(self, _: Any) -> None:
        values = tuple(self.marked())
        self.stack.append(values)

    def extend(self, values: list[Any]) -> None:
        match self.stack[-1]:
            case list() as target:
                target.extend(values)
            case Opaque(foreign=True):
                return
            case _:
                raise Unreadable("it appends to what is no list")

    def store(self, values: list[Any]) -> None:
        match self.stack[-1]:
            case Table(pairs=pairs):
                pairs.extend(zip(values[::2], values[1::2], strict=True))
            case Opaque(foreign=True):
                return
            case _:
                raise Unreadable("it sets entries of what is no dict")

    def build(self, _: Any) -> None:
        """Give an object its attributes: only the `_metadata` of a state dict are known."""
        state = self.stack.pop()
        match self.stack[-1], state:
            case (Table(), Table(pairs=[("_metadata", _)])) | (Opaque(foreign=True), _):
                return
        raise Unreadable("it sets attributes")


def _joined(module: Any, name: Any) -> str:
    if not isinstance(module, str) or not isinstance(name, str):
        raise Unreadable("it names something by what is no text")
    return f"{module} {name}"


def _ordered(arguments: Any) -> Table | None:
    return Table() if arguments == () else None


def _tensor(arguments: Any) -> Tensor | None:
    match arguments:
        case (Storage() as storage, offset, shape, strides, bool(), Table(pairs=[])):
            return _view(storage, storage.dtype, offset, shape, strides)
    return None


def _typed_tensor(arguments: Any) -> Tensor | None:
    match arguments:
        case (Storage() as storage, offset, shape, strides, bool(), Table(pairs=[]), Name(text)):
            return _view(storage, _DTYPES.get(text, ""), offset, shape, strides)
    return None


def _parameter(arguments: Any) -> Tensor | None:
    match arguments:
        case (Tensor() as data, bool(), Table(pairs=[])):
            return data
    return None


def _view(storage: Storage, dtype: str, start: Any, size: Any, stride: Any) -> Tensor | None:
    """Return a view, or None when it is none that lies inside of its storage."""
    offset, shape, strides = _count(start), _counts(size), _counts(stride)
    if dtype not in ITEM_SIZES or len(shape) != len(strides):
        return None
    item = ITEM_SIZES[dtype]
    end = offset * item + extent(shape, tuple(item * each for each in strides), item)
    return Tensor(storage, dtype, offset, shape, strides) if end <= storage.nbytes else None


def _counts(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple) or len(values) > DIMENSIONS_MAX:
        raise Unreadable("the shape of a tensor is none")
    return tuple(_count(each) for each in values)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= ELEMENTS_MAX:
        raise Unreadable("a length or offset is out of range")
    return value


_CALLS: dict[str, Callable[[Any], Table | Tensor | None]] = {
    "collections OrderedDict": _ordered,
    "torch._utils _rebuild_parameter": _parameter,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_tensor_v3": _typed_tensor,
}
_IDLE = {"PROTO", "FRAME", "STOP"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_ARGUMENTS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
_OPCODES: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.put,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "EMPTY_DICT": lambda machine, _: machine.stack.append(Table()),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "TUPLE1": lambda machine, _: machine.stack.append(tuple(machine.last(1))),
    "TUPLE2": lambda machine, _: machine.stack.append(tuple(machine.last(2))),
    "TUPLE3": lambda machine, _: machine.stack.append(tuple(machine.last(3))),
    "TUPLE": _Machine.tupled,
    "APPEND": lambda machine, _: machine.extend(machine.last(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.marked()),
    "SETITEM": lambda machine, _: machine.store(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.store(machine.marked()),
    "GLOBAL": _Machine.named,
    "STACK_GLOBAL": _Machine.named,
    "BINPERSID": _Machine.stored,
    "REDUCE": lambda machine, _: machine.call(2),
    "NEWOBJ": lambda machine, _: machine.call(2),
    "NEWOBJ_EX": lambda machine, _: machine.call(3),
    "BUILD": _Machine.build,
}
