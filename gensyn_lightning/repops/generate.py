"""Writes the C of all programs: bodies, loops over rows, and the table that names them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from gensyn_lightning.repops import emit, generate_fold
from gensyn_lightning.repops.word import Definition

_C = {"f": "float", "i": "int64_t", "d": "double"}
_LANES = {"f": "f", "i": "l", "d": "d"}
_VECTOR = {"f": "vf", "i": "vl", "d": "vd"}
_WORD = {
    "f": "f_word((uint32_t)word[{}])",
    "i": "l_all((int64_t)word[{}])",
    "d": "d_word(word[{}])",
}


FILE_LINES = 1500  # a compiler takes far longer over one long file than over several


def write(folder: Path, definitions: Sequence[Definition]) -> list[Path]:
    """Write `programs.h` and the C files that hold the loops; return the C files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "programs.h").write_text(header(definitions))
    texts = {f"programs_{at}": text for at, text in enumerate(sources(definitions))}
    texts["programs_table"] = table(definitions)
    written = [folder / f"{name}.c" for name in texts]
    for path, text in zip(written, texts.values(), strict=True):
        path.write_text(text)
    return written


def header(definitions: Sequence[Definition]) -> str:
    """Return the bodies, for kernels that use a program inside a loop of their own."""
    lines = ["#ifndef REPOPS_PROGRAMS_H", "#define REPOPS_PROGRAMS_H", '#include "programs_loop.h"']
    for each in definitions:
        many = len(each.results) > 1
        for at, (program, result) in enumerate(zip(each.trace(), each.results, strict=True)):
            name = f"{each.name}_{at}" if many else each.name
            lines.append(emit.body(name, program, each.kinds, result))
    lines += generate_fold.header(definitions)
    return "\n".join([*lines, "#endif", ""])


def sources(definitions: Sequence[Definition]) -> Iterator[str]:
    """Yield the loops, in files of a bounded length."""
    numbers = {each.name: at for at, each in enumerate(definitions)}
    lines: list[str] = []
    for each in definitions:
        made = [_loop(each), *generate_fold.source(each, numbers)]
        lines += "\n".join(made).split("\n")
        if len(lines) > FILE_LINES:
            yield "\n".join(['#include "programs.h"', "", *lines, ""])
            lines = []
    yield "\n".join(['#include "programs.h"', "", *lines, ""])


def table(definitions: Sequence[Definition]) -> str:
    """Return the table that names programs, loops and folds."""
    lines = ['#include "programs_loop.h"', ""]
    for each in definitions:
        lines.append(f"loop run_{each.name};")
        if each.combine:
            lines.append(f"extern const fold fold_{each.name};")
    lines += ["", "const program programs[] = {"]
    for each in definitions:
        fold = f"&fold_{each.name}" if each.combine else "0"
        lines.append(
            f'  {{"{each.name}", "{each.kinds}", "{each.results}", run_{each.name}, {fold}}},'
        )
    return "\n".join([*lines, "  {0, 0, 0, 0, 0},", "};", ""])


def _loop(definition: Definition) -> str:
    reads = enumerate(definition.kinds[: definition.reads])
    words = list(enumerate(definition.kinds[definition.reads :], definition.reads))
    lines = [
        f"loop run_{definition.name};",
        f"void run_{definition.name}(int64_t n, const void *const *in, void *const *out, "
        "const uint64_t *word) {",
        *(f"  const {_C[kind]} *i{at} = in[{at}];" for at, kind in reads),
        *(f"  {_C[kind]} *o{at} = out[{at}];" for at, kind in enumerate(definition.results)),
        *(
            f"  const {_VECTOR[kind.lower()]} x{at} = "
            f"{_WORD[kind.lower()].format(at - definition.reads)};"
            for at, kind in words
        ),
        "  (void)in, (void)word;",
        "  int64_t j = 0;",
        "  for (; j + LANES <= n; j += LANES) {",
        *_step(definition, "{}_load({} + j)", "{}_store({} + j, {})"),
        "  }",
        "  if (j < n) {",
        "    int64_t rest = n - j;",
        *_step(definition, "{}_some({} + j, rest)", "{}_put({} + j, {}, rest)"),
        "  }",
        "}",
        "",
    ]
    return "\n".join(lines)


def _step(definition: Definition, load: str, store: str) -> list[str]:
    many = len(definition.results) > 1
    lines = [
        f"    {_VECTOR[kind]} x{at} = {load.format(_LANES[kind], f'i{at}')};"
        for at, kind in enumerate(definition.kinds[: definition.reads])
    ]
    arguments = ", ".join(f"x{at}" for at in range(len(definition.kinds)))
    for at, kind in enumerate(definition.results):
        body = f"p_{definition.name}_{at}" if many else f"p_{definition.name}"
        lines.append(f"    {_VECTOR[kind]} y{at} = {body}({arguments});")
    for at, kind in enumerate(definition.results):
        lines.append(f"    {store.format(_LANES[kind], f'o{at}', f'y{at}')};")
    return lines


def main() -> None:
    """Write the C of every program into a folder."""
    from gensyn_lightning.repops.programs import all_definitions

    parser = argparse.ArgumentParser(prog="gensyn_lightning.repops.generate")
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder, all_definitions())


if __name__ == "__main__":
    main()
