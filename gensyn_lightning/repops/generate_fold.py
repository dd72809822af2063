"""Writes the C of folds: a term's loops over rows, each lane of sixteen with a carry of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gensyn_lightning.repops import emit
from gensyn_lightning.repops.word import Definition

AHEAD = 1024  # elements a loop over long rows asks for in advance
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


def source(term: Definition, numbers: Mapping[str, int]) -> list[str]:
    """Return the loops of a term and the record that names them; nothing for other programs."""
    if term.combine is None:
        return []
    names = ("chunks", "rows", "piece", "close", "columns", "tall", "merge", "chain", "scan")
    return [
        *_chunks(term),
        *_piece(term),
        *_close(term),
        *_rows(term),
        *_columns(term),
        *_tall(term),
        *_merge(term),
        *_chain(term),
        *_scan(term),
        f"const fold fold_{term.name} = {{0x{term.init:x}ull, "
        f"&programs[{numbers[term.combine.name]}], "
        f"{', '.join(f'{name}_{term.name}' for name in names)}}};",
    ]


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
    return [
        f"static void chunks_{term.name}(int64_t n, const void *const *in, const int64_t *advance, "
        "const uint64_t *word, void *out) {",
        *_pointers(term),
        f"  {_C[kind]} *o = out;",
        "  for (int64_t left = n; left > 0; left -= CHUNK) {",
        "    int64_t m = MIN(left, CHUNK);",
        *_one_chunk(term, prefetch=True),
        f"    *o++ = {_LANES[kind]}_first(t_{_combine(term).name}(acc));",
        *(f"    i{at} += CHUNK * advance[{at - 1}];" for at in range(1, term.reads)),
        "  }",
        "}",
    ]


def _one_chunk(term: Definition, *, prefetch: bool) -> list[str]:
    """Fold m terms into `acc`."""
    kind = term.results
    return [
        f"    {_VECTOR[kind]} acc = {_init(term)};",
        "    int64_t j = 0;",
        "    for (; j + LANES <= m; j += LANES) {",
        *(f"      __builtin_prefetch(i{at} + j + {AHEAD});" for at, _ in _reads(term) if prefetch),
        f"      acc = {_call(term, '{}_load({} + j)')};",
        "    }",
        "    if (j < m) {",
        "      int64_t rest = m - j;",
        f"      {_VECTOR[kind]} next = {_call(term, '{}_some({} + j, rest)')};",
        f"      acc = {_LANES[kind]}_select({_first_lanes(kind)}, next, acc);",
        "    }",
    ]


def _rows(term: Definition) -> list[str]:
    first = f"{_LANES[term.results]}_first"
    return [
        f"static void rows_{term.name}(int64_t n, int64_t m, const void *const *in, "
        "const int64_t *apart, const uint64_t *word, void *out) {",
        *_pointers(term),
        f"  {_C[term.results]} *o = out;",
        "  (void)apart;",
        "  for (int64_t i = 0; i < n; i++) {",
        *_one_chunk(term, prefetch=False),
        f"    o[i] = {first}(t_{_combine(term).name}(acc));",
        *(f"    i{at} += apart[{at - 1}];" for at, _ in _reads(term)),
        "  }",
        "}",
    ]


def _piece(term: Definition) -> list[str]:
    kind = term.results
    lane, vector = _LANES[kind], _VECTOR[kind]
    among = "i_among" if kind == "f" else "l_among"
    return [
        f"static void piece_{term.name}(int64_t n, int64_t lane, const void *const *in, "
        "const uint64_t *word, void *carry) {",
        *_pointers(term),
        f"  {vector} acc = {lane}_load(carry);",
        "  if (lane) {",
        "    int64_t m = MIN(n, LANES - lane);",
        f"    {vector} next = {_call(term, '{}_later({}, lane, m)')};",
        f"    acc = {lane}_select({among}(lane, lane + m), next, acc);",
        "    n -= m;",
        *(f"    i{at} += m;" for at, _ in _reads(term)),
        "  }",
        "  int64_t j = 0;",
        "  for (; j + LANES <= n; j += LANES)",
        f"    acc = {_call(term, '{}_load({} + j)')};",
        "  if (j < n) {",
        "    int64_t rest = n - j;",
        f"    {vector} next = {_call(term, '{}_some({} + j, rest)')};",
        f"    acc = {lane}_select({_first_lanes(kind)}, next, acc);",
        "  }",
        f"  {lane}_store(carry, acc);",
        "}",
    ]


def _close(term: Definition) -> list[str]:
    kind, lane = term.results, _LANES[term.results]
    made = f"t_{_combine(term).name}({lane}_load(carry))"
    return [
        f"static void close_{term.name}(const void *carry, void *value) {{",
        f"  *({_C[kind]} *)value = {lane}_first({made});",
        "}",
    ]


def _columns(term: Definition) -> list[str]:
    kind = term.results
    return [
        f"static void columns_{term.name}(int64_t n, int64_t rows, int64_t done, "
        "const void *const *in, const int64_t *step, const uint64_t *word, void *carry, "
        "int64_t apart) {",
        *_pointers(term),
        *(f"  int64_t s{at} = step[{at - 1}];" for at, _ in _reads(term)),
        "  (void)step;",
        "  for (int64_t t = 0; t < rows;) {",
        "    int fresh = done + t < LANES;",
        "    int64_t l = (done + t) % LANES;",
        *(
            line
            for count in (4, 2)
            for line in (
                f"    if (l == 0 && rows - t >= {count} * LANES) {{",
                "      for (; l < LANES; l++) {",
                f"        {_C[kind]} *c = ({_C[kind]} *)carry + l * apart;",
                *_columns_of(term, count, "(t + l)"),
                "      }",
                f"      t += {count} * LANES;",
                "      continue;",
                "    }",
            )
        ),
        f"    {_C[kind]} *c = ({_C[kind]} *)carry + l * apart;",
        *_columns_of(term, 1, "t"),
        "    t++;",
        "  }",
        "}",
    ]


def _columns_of(term: Definition, rows: int, first: str) -> list[str]:
    """Add rows `first`, 16 more, and so on to the carries of one lane."""
    lane = _LANES[term.results]
    lines = [
        f"      const {_C[kind]} *q{at} = i{at} + {first} * s{at};" for at, kind in _reads(term)
    ]
    for head, load, store in (
        ("int64_t j = 0; for (; j + LANES <= n; j += LANES)", "load({} + j)", "store(c + j, acc)"),
        ("if (j < n)", "some({} + j, n - j)", "put(c + j, acc, n - j)"),
    ):
        lines += [
            f"      {head} {{",
            f"        {_VECTOR[term.results]} acc = "
            f"fresh ? {_init(term)} : {lane}_{load.format('c')};",
        ]
        for row in range(rows):
            parts = [
                f"{_LANES[kind]}_{load.format(f'q{at} + {row * 16} * s{at}')}"
                for at, kind in _reads(term)
            ]
            parts += [f"x{at}" for at in range(term.reads, len(term.kinds))]
            lines.append(f"        acc = q_{term.name}({', '.join(['acc', *parts])});")
            lines += [
                f"        __builtin_prefetch(q{at} + {row * 16 + 2} * s{at} + j);"
                for at, _ in _reads(term)
            ]
        lines += [f"        {lane}_{store};", "      }"]
    return lines


def _tall(term: Definition) -> list[str]:
    kind = term.results
    lane = _LANES[kind]
    lines = [
        f"static void tall_{term.name}(int64_t n, int64_t rows, const void *const *in, "
        "const int64_t *step, const uint64_t *word, void *carry) {",
        *_pointers(term),
        *(f"  int64_t s{at} = step[{at - 1}];" for at, _ in _reads(term)),
        f"  {_C[kind]} *c = carry;",
        "  (void)step;",
    ]
    for head, load, store in (
        ("int64_t j = 0; for (; j + LANES <= n; j += LANES)", "load({} + j)", "store(c + j, acc)"),
        ("if (j < n)", "some({} + j, n - j)", "put(c + j, acc, n - j)"),
    ):
        parts = [f"{_LANES[each]}_{load.format(f'i{at} + t * s{at}')}" for at, each in _reads(term)]
        parts += [f"x{at}" for at in range(term.reads, len(term.kinds))]
        lines += [
            f"  {head} {{",
            f"    {_VECTOR[kind]} acc = {_init(term)};",
            "    for (int64_t t = 0; t < rows; t++)",
            f"      acc = q_{term.name}({', '.join(['acc', *parts])});",
            f"    {lane}_{store};",
            "  }",
        ]
    return [*lines, "}"]


def _merge(term: Definition) -> list[str]:
    kind, combine = term.results, _combine(term).name
    lane = _LANES[kind]
    lines = [
        f"static void merge_{term.name}(int64_t n, const void *carry, int64_t apart, "
        "void *value) {",
        f"  const {_C[kind]} *c = carry;",
        f"  {_C[kind]} *v = value;",
    ]
    for head, load, store in (
        ("int64_t j = 0; for (; j + LANES <= n; j += LANES)", "load({} + j)", "store(v + j, a[0])"),
        ("if (j < n)", "some({} + j, n - j)", "put(v + j, a[0], n - j)"),
    ):
        lines += [
            f"  {head} {{",
            f"    {_VECTOR[kind]} a[LANES];",
            f"    for (int l = 0; l < LANES; l++) a[l] = {lane}_{load.format('c + l * apart')};",
            "    for (int width = LANES / 2; width; width /= 2)",
            "      for (int l = 0; l < width; l++)",
            f"        a[l] = q_{combine}(a[2 * l], a[2 * l + 1]);",
            f"    {lane}_{store};",
            "  }",
        ]
    return [*lines, "}"]


def _canonical(term: Definition, value: str) -> str:
    return value if term.results == "i" else f"{_LANES[term.results]}_canonical({value})"


def _init(term: Definition) -> str:
    return _WORD[term.results].format(f"0x{term.init:x}ull")


def _chain(term: Definition) -> list[str]:
    kind, lane = term.results, _LANES[term.results]
    vector = _VECTOR[kind]
    return [
        f"static void chain_{term.name}(int64_t n, const void *values, void *total) {{",
        f"  const {_C[kind]} *v = values;",
        f"  {_C[kind]} *t = total;",
        f"  {vector} acc = {lane}_all(*t);",
        "  for (int64_t i = 0; i < n; i++)",
        f"    acc = q_{_combine(term).name}(acc, {lane}_all(v[i]));",
        f"  *t = {lane}_first(acc);",
        "}",
    ]


def _scan(term: Definition) -> list[str]:
    kind, lane = term.results, _LANES[term.results]
    lines = [
        f"static void scan_{term.name}(int64_t n, const void *const *in, const uint64_t *word, "
        "void *total, void *out) {",
        *_pointers(term),
        f"  {_C[kind]} *t = total, *o = out;",
        f"  {_VECTOR[kind]} acc = {lane}_all(*t);",
        "  for (int64_t j = 0; j < n; j++) {",
    ]
    one = ", ".join(
        [f"{_LANES[each]}_all(i{at}[j])" for at, each in _reads(term)]
        + [f"x{at}" for at in range(term.reads, len(term.kinds))]
    )
    lines += [
        f"    acc = q_{term.name}(acc, {one});" if one else f"    acc = q_{term.name}(acc);",
        f"    o[j] = {lane}_first({_canonical(term, 'acc')});",
        "  }",
        f"  *t = {lane}_first(acc);",
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
