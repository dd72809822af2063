"""`%gensyn_train`, `%gensyn_status` and `%gensyn_report`: parse, delegate, display."""

# IPython's decorators carry no types.
# mypy: allow-untyped-decorators, allow-untyped-calls, allow-subclassing-any

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from gensyn_lightning.errors import ConfigError, GensynError
from kernel_ext.view import ReportView, Told

NAMES = (
    ("line", "gensyn_train"),
    ("cell", "gensyn_train"),
    ("line", "gensyn_status"),
    ("line", "gensyn_report"),
)
_OPTIONS = ("coordinator", "audit", "verifiers", "timeout", "budget", "report")


def _in_one_line(magic: Callable[..., Any]) -> Callable[..., Any]:
    """Show an error of ours as one line with its hint."""

    @wraps(magic)
    def shown(*args: Any, **kwargs: Any) -> Any:
        try:
            return magic(*args, **kwargs)
        except GensynError as error:
            raise Told(str(error)) from None

    return shown


@magics_class
class GensynMagics(Magics):
    """Train on the network, see how jobs stand, and read their reports."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.notebook = shell
        self.outcomes: list[Any] = []

    @magic_arguments()
    @argument("target", nargs="?", help="a model, or a tuple (trainer, model[, data])")
    @argument("--data", help="name of a datamodule or a loader")
    @argument("--trainer", help="name of a Trainer")
    @argument("--epochs", type=int, help="epochs, for a model without a trainer")
    @argument("--audit", help="share of segments run again: default, full, none, 0-1")
    @argument("--verifiers", "-k", type=int, help="nodes that check each of those")
    @argument("--coordinator", "-c", help="address of a network; none starts one here")
    @argument("--budget", type=int, help="highest price of the job")
    @argument("--timeout", type=float, help="give up after so many seconds")
    @argument("--report", help="where report.json goes")
    @argument("--quiet", "-q", action="store_true", help="no progress, no report")
    @argument("--out", "-o", help="variable that gets the outcome")
    @line_cell_magic
    @_in_one_line
    def gensyn_train(self, line: str, cell: str | None = None) -> ReportView | None:
        """Train on the network.

        %gensyn_train TARGET trains what TARGET names. %%gensyn_train runs the cell first: every
        `trainer.fit` in it goes to the network; if it calls none, its `model` is trained with its
        `trainer` and `datamodule` or `train_dataloader`.
        """
        from kernel_ext import target
        from kernel_ext.sending import every_fit

        flags = parse_argstring(self.gensyn_train, line)
        options = {name: getattr(flags, name) for name in _OPTIONS if getattr(flags, name)}
        options["quiet"] = flags.quiet or None
        names, done = self.notebook.user_ns, len(self.outcomes)
        with every_fit(options, self._heard):
            if cell is not None:
                self._run(cell)
            if flags.target:
                wanted = {"data": flags.data, "trainer": flags.trainer, "epochs": flags.epochs}
                target.find(names, flags.target, **wanted).fit()
            elif cell is None:
                raise ConfigError("nothing to train", hint="%gensyn_train MODEL, see ?")
            elif len(self.outcomes) == done:
                target.left_by_cell(names, flags.epochs).fit()
        outcome = self.outcomes[-1]
        if flags.out:
            self.notebook.push({flags.out: outcome})
        return None if flags.quiet else ReportView(Path(outcome.report))

    @magic_arguments()
    @argument("job", nargs="?", help="a job's name; none lists what this notebook trained")
    @line_magic
    @_in_one_line
    def gensyn_status(self, line: str) -> None:
        """Say how the network and the jobs of this notebook stand."""
        from kernel_ext.standing import lines

        for text in lines(parse_argstring(self.gensyn_status, line).job, self.outcomes):
            print(text)

    @magic_arguments()
    @argument("source", nargs="?", help="a report.json or a job; none means the last one here")
    @argument("--html", help="also write the report as one HTML file")
    @line_magic
    @_in_one_line
    def gensyn_report(self, line: str) -> ReportView:
        """Check a report and show it."""
        from kernel_ext.standing import report_file

        flags = parse_argstring(self.gensyn_report, line)
        view = ReportView(report_file(flags.source, self.outcomes))
        if flags.html:
            view.save_html(Path(flags.html))
        return view

    def _run(self, cell: str) -> None:
        """Run a cell's body as the notebook would; what it raises ends the magic too."""
        code = self.notebook.transform_cell(cell)
        name = self.notebook.compile.cache(code, self.notebook.execution_count)
        exec(self.notebook.compile(code, name, "exec"), self.notebook.user_ns)  # noqa: S102

    def _heard(self, trainer: Any) -> None:
        self.outcomes.append(trainer.strategy.outcome)
