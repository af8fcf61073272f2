"""Do a command's work in a child process, so that what a file does to a library is a message, and Ctrl-C always works.

Libraries of native code can crash on a file, take all memory, or never return, as from an ONNX Loop without an end.
Then no Python code of that process runs any more. So the parent process imports none of them: it waits, hands signals
on, and if a signal ends the child, says so and clears up.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import click

from converters.errors import GIVE_LESS, GanportError, UnrunnableError, explain_unforeseen
from converters.terminal.options import TerminatedError
from converters.terminal.plugins import tell_left_out

# How long an interrupted child may take to clear up before it is killed.
GRACE_S = 5.0
# Of Linux's prctl: the signal that a child gets when its parent dies.
PR_SET_PDEATHSIG = 1
GIB = 2**30
DEFAULT_MAX_SECONDS = 3600
# Keys of a context's `meta`: the two limits, and the step that the work is at.
MAX_MEMORY, MAX_SECONDS, STEP = "ganport.max_memory", "ganport.max_seconds", "ganport.step"


class SupervisedCommand(click.Command):
    """A command whose work is done in a child process where `main` is called with `obj=supervise`."""

    def invoke(self, ctx: click.Context) -> Any:
        invoke = super().invoke

        def work(ctx: click.Context) -> Any:
            try:
                return invoke(ctx)
            finally:
                tell_left_out()

        return supervise(ctx, lambda: work(ctx)) if ctx.obj is supervise else work(ctx)


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options --max-memory and --max-seconds; a process that nobody supervises takes no notice of them."""

    def keep(key: str) -> Callable[[click.Context, click.Parameter, float], None]:
        return lambda ctx, _, value: ctx.meta.__setitem__(key, value)

    memory = click.option(
        "--max-memory",
        type=click.FloatRange(min=0.25),
        metavar="GIB",
        show_default="what this machine has",
        help="The memory that may be taken.",
        callback=keep(MAX_MEMORY),
        expose_value=False,
    )
    seconds = click.option(
        "--max-seconds",
        type=click.IntRange(1),
        default=DEFAULT_MAX_SECONDS,
        show_default=True,
        help="The time that one step may take.",
        callback=keep(MAX_SECONDS),
        expose_value=False,
    )
    return memory(seconds(command))


def begin_step(step: str) -> None:
    """Start the clock of --max-seconds anew, and remember the step; nothing in a process that nobody supervises."""
    ctx = click.get_current_context(silent=True)
    if ctx is not None and ctx.obj is supervise:
        ctx.meta[STEP] = step
        signal.alarm(ctx.meta.get(MAX_SECONDS, 0))


def supervise(ctx: click.Context, work: Callable[[], Any]) -> Any:
    """Fork. The child does `work`, within the limits that the command's options give; the parent waits for it.

    Raises:
        click.exceptions.Exit: in the parent, with the child's exit code.
        UnrunnableError: in the parent; a signal ended the child.
    """
    with tempfile.TemporaryDirectory(prefix="ganport-", ignore_cleanup_errors=True) as scratch:
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            _enter_child(parent, scratch, ctx.meta)
            begin_step("at the beginning")
            return _work_and_explain(ctx, work)
        code, interrupt = _wait(child)
    if code >= 0:
        raise click.exceptions.Exit(code)
    _clear_up(ctx.params.get("out"))
    if interrupt is not None:
        raise interrupt
    raise UnrunnableError(_name_sources(ctx), *_explain(signal.Signals(-code), ctx.meta))


def _enter_child(parent: int, scratch: str, limits: dict[str, Any]) -> None:
    """Set the limits, and let temporary files go where the parent deletes them."""
    import resource

    from converters.runners import memory_of_machine

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    os.environ["TMPDIR"] = tempfile.tempdir = scratch
    given = limits.get(MAX_MEMORY)
    size = memory_of_machine() if given is None else int(given * GIB)
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def _work_and_explain(ctx: click.Context, work: Callable[[], Any]) -> Any:
    """Do the work.

    Raises:
        UnrunnableError: for an exception that nobody foresaw; it names the step.
    """
    try:
        return work()
    except (GanportError, click.ClickException, click.exceptions.Exit):
        raise
    except Exception as error:
        with explain_unforeseen(UnrunnableError, f"{_name_sources(ctx)}, {ctx.meta[STEP]}"):
            raise error


def _leave(number: int, _: FrameType | None) -> None:
    """End the work; a second signal would disturb the clearing up, and a terminal's Ctrl-C comes twice."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise TerminatedError if number == signal.SIGTERM else KeyboardInterrupt


def _wait(child: int) -> tuple[int, KeyboardInterrupt | None]:
    """Wait for the child and hand on what interrupts this process.

    Returns:
        The child's exit code, or the negative number of the signal that ended it; and what interrupted this process.
    """
    interrupts: list[KeyboardInterrupt] = []

    def hand_on(number: int, _: FrameType | None) -> None:
        interrupts.append(KeyboardInterrupt() if number == signal.SIGINT else TerminatedError())
        os.kill(child, signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, GRACE_S)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    try:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
    return code, interrupts[0] if interrupts else None


def _clear_up(out: Path | None) -> None:
    """Delete what a killed conversion left where bundles go, and show the terminal's cursor again."""
    from rich.console import Console

    from converters.bundle.scratch import clear_stale_in

    if out is not None:
        clear_stale_in(out)
    Console(stderr=True).show_cursor()


def _name_sources(ctx: click.Context) -> str:
    """The files or folders that the command was given, in words."""
    argument = next(param.name for param in ctx.command.params if isinstance(param, click.Argument))
    given = ctx.params[argument or ""]
    return ", ".join(map(str, given)) if isinstance(given, tuple) and given else str(given or ctx.command_path)


def _explain(number: signal.Signals, limits: dict[str, Any]) -> tuple[str, str]:
    """What was met, and what to do."""
    if number == signal.SIGALRM:
        met = f"a step took longer than {limits[MAX_SECONDS]} s"
        return met, "If it may take longer, raise --max-seconds"
    if number == signal.SIGKILL:
        return "the system ended the work (SIGKILL), most likely for want of memory", GIVE_LESS
    return (
        f"a library crashed on it ({number.name}); nothing was written",
        "It is damaged, or needs more memory than there is: write it again, or give smaller inputs",
    )
