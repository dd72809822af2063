"""Writes the C of folds: a term's loops over rows, each lane of sixteen with a carry of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gensyn_lightning.repops import emit
from gensyn_lightning.repops.word import Definition

_C = {"f": "float", "i": "int64_t", "d": "double"}
_LANES = {"f": "f", "i": "l", "d": "d"}
_VECTOR = {"f": "vf", "i": "vl", "d": "vd"}
_WORD = {"f": "f_word((uint32_t){})", "i": "l_all((int64_t){})", "d": "d_word({})"}


def header(definitions: Sequence[Definition]) -> list[str]:
    """Return the bodies `q_NAME` of terms and of what combines them, and the tree of each."""
    return [
        line
        for each in _inside(definitions)
        for line in (
            emit.raw_body(each.name, each.trace()[0], each.kinds, each.results),
            *(_tree(each) if each.combine is None else []),
        )
    ]


def source(definitions: Sequence[Definition]) -> list[str]:
    """Return the loops of every term, and the record that names them."""
    numbers = {each.name: at for at, each in enumerate(definitions)}
    lines = []
    for each in definitions:
        if each.combine is None:
            continue
        lines += [*_chunks(each), *_chain(each), *_scan(each)]
        lines.append(
            f"static const fold fold_{each.name} = {{0x{each.init:x}ull, "
            f"&programs[{numbers[each.combine.name]}], chunks_{each.name}, chain_{each.name}, "
            f"scan_{each.name}}};"
        )
    return lines


def _inside(definitions: Iterable[Definition]) -> list[Definition]:
    found: dict[str, Definition] = {}
    for each in definitions:
        if each.combine is not None:
            found |= {each.combine.name: each.combine, each.name: each}
    return list(found.values())


def _tree(combine: Definition) -> list[str]:
    """Return `t_NAME`: the tree of neighbours over the lanes of one vector, left in lane 0."""
    kind = combine.results
    vector, lane = _VECTOR[kind], _LANES[kind]
    return [
        f"INLINE {vector} t_{combine.name}({vector} v) {{",
        "  for (int i = 0; i < 4; i++)",
        f"    v = q_{combine.name}({lane}_even(v), {lane}_odd(v));",
        "  return v;",
        "}",
    ]


def _chunks(term: Definition) -> list[str]:
    kind = term.results
    init = _WORD[kind].format(f"0x{term.init:x}ull")
    return [
        f"static void chunks_{term.name}(int64_t n, const void *const *in, const int64_t *advance, "
        "const uint64_t *word, void *out) {",
        *_pointers(term),
        f"  {_C[kind]} *o = out;",
        "  for (int64_t left = n; left > 0; left -= CHUNK) {",
        "    int64_t m = MIN(left, CHUNK), j = 0;",
        f"    {_VECTOR[kind]} acc = {init};",
        "    for (; j + LANES <= m; j += LANES)",
        f"      acc = {_call(term, '{}_load({} + j)')};",
        "    if (j < m) {",
        "      int64_t rest = m - j;",
        f"      {_VECTOR[kind]} next = {_call(term, '{}_some({} + j, rest)')};",
        f"      acc = {_LANES[kind]}_select({_first_lanes(kind)}, next, acc);",
        "    }",
        f"    *o++ = t_{_combine(term).name}(acc)[0];",
        *(f"    i{at} += CHUNK * advance[{at - 1}];" for at in range(1, term.reads)),
        "  }",
        "}",
    ]


def _chain(term: Definition) -> list[str]:
    kind = term.results
    vector = _VECTOR[kind]
    return [
        f"static void chain_{term.name}(int64_t n, const void *values, void *total) {{",
        f"  const {_C[kind]} *v = values;",
        f"  {_C[kind]} *t = total;",
        f"  {vector} acc = {{*t}};",
        "  for (int64_t i = 0; i < n; i++)",
        f"    acc = q_{_combine(term).name}(acc, ({vector}){{v[i]}});",
        "  *t = acc[0];",
        "}",
    ]


def _scan(term: Definition) -> list[str]:
    kind = term.results
    lines = [
        f"static void scan_{term.name}(int64_t n, const void *const *in, const uint64_t *word, "
        "void *total, void *out) {",
        *_pointers(term),
        f"  {_C[kind]} *t = total, *o = out;",
        f"  {_VECTOR[kind]} acc = {{*t}};",
        "  for (int64_t j = 0; j < n; j++) {",
    ]
    one = ", ".join(
        [f"({_VECTOR[each]}){{i{at}[j]}}" for at, each in _reads(term)]
        + [f"x{at}" for at in range(term.reads, len(term.kinds))]
    )
    lines += [
        f"    acc = q_{term.name}(acc, {one});" if one else f"    acc = q_{term.name}(acc);",
        "    o[j] = acc[0];",
        "  }",
        "  *t = acc[0];",
        "}",
    ]
    return lines


def _combine(term: Definition) -> Definition:
    if term.combine is None:
        raise ValueError(f"{term.name} is no fold's term")
    return term.combine


def _reads(term: Definition) -> list[tuple[int, str]]:
    return list(enumerate(term.kinds[1 : term.reads], 1))


def _pointers(term: Definition) -> list[str]:
    words = enumerate(term.kinds[term.reads :].lower(), term.reads)
    return [
        *(f"  const {_C[kind]} *i{at} = in[{at - 1}];" for at, kind in _reads(term)),
        *(
            f"  const {_VECTOR[kind]} x{at} = {_WORD[kind].format(f'word[{at - term.reads}]')};"
            for at, kind in words
        ),
        "  (void)in, (void)word;",
    ]


def _call(term: Definition, load: str) -> str:
    parts = [load.format(_LANES[kind], f"i{at}") for at, kind in _reads(term)]
    parts += [f"x{at}" for at in range(term.reads, len(term.kinds))]
    return f"q_{term.name}({', '.join(['acc', *parts])})"


def _first_lanes(kind: str) -> str:
    return "i_below((int32_t)rest)" if kind == "f" else "l_below(rest)"
