"""`%gensyn_train` and the other magics: parse, delegate, display."""

# IPython's decorators carry no types.
# mypy: allow-untyped-decorators, allow-untyped-calls, allow-subclassing-any

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from gensyn_lightning.errors import ConfigError, GensynError
from kernel_ext.view import ReportView, Told

if TYPE_CHECKING:
    from kernel_ext.sent import Sent

NAMES = (
    ("line", "gensyn_train"),
    ("cell", "gensyn_train"),
    ("line", "gensyn_status"),
    ("line", "gensyn_wait"),
    ("line", "gensyn_stop"),
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
        self._sent: Sent | None = None

    @property
    def sent(self) -> Sent:
        """What this notebook has sent; made when the first is, since that loads a lot."""
        if self._sent is None:
            from kernel_ext.sent import Sent

            self._sent = Sent()
        return self._sent

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
    @argument("--detach", "-d", action="store_true", help="return once the job is submitted")
    @argument("--attach", metavar="JOB", help="a job that was left: bring its model back")
    @argument(
        "--on-interrupt",
        choices=("detach", "cancel"),
        default="detach",
        help="what the stop button does to the job: leave it (default), or cancel it",
    )
    @argument("--quiet", "-q", action="store_true", help="no progress, no report")
    @argument("--out", "-o", help="variable that gets the outcome, or the job with --detach")
    @line_cell_magic
    @_in_one_line
    def gensyn_train(self, line: str, cell: str | None = None) -> Any:
        """Train on the network.

        %gensyn_train TARGET trains what TARGET names. %%gensyn_train runs the cell first: every
        `trainer.fit` in it goes to the network; if it calls none, its `model` is trained with its
        `trainer` and `datamodule` or `train_dataloader`.
        """
        from kernel_ext import target
        from kernel_ext.sending import every_fit
        from kernel_ext.sent import Way

        flags = parse_argstring(self.gensyn_train, line)
        if flags.detach and flags.attach:
            raise ConfigError("--detach leaves a job, --attach takes one back", hint="name one")
        way = Way(
            options={each: said for each in _OPTIONS if (said := getattr(flags, each)) is not None},
            detach=flags.detach,
            attach=flags.attach or "",
            cancels=flags.on_interrupt == "cancel",
            silent=flags.quiet,
            live=hasattr(self.notebook, "kernel"),
        )
        names, carried, done = self.notebook.user_ns, [], len(self.sent.outcomes)

        def carry(trainer: Any, fit: Callable[[], Any]) -> Any:
            carried.append(trainer)
            return self.sent.carry(trainer, fit, way)

        with every_fit(carry):
            if cell is not None:
                self._run(cell)
            if flags.target:
                wanted = {"data": flags.data, "trainer": flags.trainer, "epochs": flags.epochs}
                target.find(names, flags.target, **wanted).fit()
            elif cell is None:
                raise ConfigError("nothing to train", hint="%gensyn_train MODEL, see ?")
            elif not carried:
                target.left_by_cell(names, flags.epochs).fit()
        got = self.sent.job(None) if flags.detach else self.sent.last(done)
        if flags.out:
            self.notebook.push({flags.out: got})
        return got if flags.detach and not flags.out else None

    @magic_arguments()
    @argument("job", nargs="?", help="a job's name; none lists what this notebook trained")
    @line_magic
    @_in_one_line
    def gensyn_status(self, line: str) -> None:
        """Say how the network and the jobs of this notebook stand; follow a job that runs."""
        from kernel_ext.standing import lines, watch

        name = parse_argstring(self.gensyn_status, line).job
        if name:
            watch(name)
            return
        for text in lines(self.sent.outcomes):
            print(text)

    @magic_arguments()
    @argument("job", nargs="?", help="a job's name; none means the last one left")
    @argument("--timeout", type=float, help="wait at most so many seconds")
    @argument("--out", "-o", help="variable that gets the outcome")
    @line_magic
    @_in_one_line
    def gensyn_wait(self, line: str) -> Any:
        """Wait for a job that was left to the network, and bring its model back."""
        flags = parse_argstring(self.gensyn_wait, line)
        outcome = self.sent.job(flags.job).wait(flags.timeout)
        if flags.out:
            self.notebook.push({flags.out: outcome})
            return None
        return outcome

    @magic_arguments()
    @argument("job", help="a job's name")
    @line_magic
    @_in_one_line
    def gensyn_stop(self, line: str) -> None:
        """Stop a job; what was accepted stays paid, the rest of its price comes back."""
        from kernel_ext.job import cancel
        from kernel_ext.sent import find

        name = parse_argstring(self.gensyn_stop, line).job
        cancel(find(name))
        print(f"{name} is being stopped")

    @magic_arguments()
    @argument("source", nargs="?", help="a report.json or a job; none means the last one here")
    @argument("--html", help="also write the report as one HTML file")
    @line_magic
    @_in_one_line
    def gensyn_report(self, line: str) -> ReportView:
        """Check a report and show it."""
        from kernel_ext.standing import report_file

        flags = parse_argstring(self.gensyn_report, line)
        view = ReportView(report_file(flags.source, self.sent.outcomes))
        if flags.html:
            view.save_html(Path(flags.html))
        return view

    def _run(self, cell: str) -> None:
        """Run a cell's body as the notebook would; what it raises ends the magic too."""
        code = self.notebook.transform_cell(cell)
        name = self.notebook.compile.cache(code, self.notebook.execution_count)
        exec(self.notebook.compile(code, name, "exec"), self.notebook.user_ns)  # noqa: S102
