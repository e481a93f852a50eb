"""Training tasks. A task is one file with a ``Task`` and one line here."""

from difflib import get_close_matches
from typing import Any

from experiments.training.task import Task
from experiments.training.tasks import digits, fashion, mnist
from spu_circuit.errors import InputError

TASKS = {
    task.name: task
    for task in (
        digits.TASK,
        mnist.TASK,
        fashion.TASK,
    )
}


def task_named(name: Any) -> Task:
    """A task by its name. Raises InputError where there is none."""
    if isinstance(name, str) and name in TASKS:
        return TASKS[name]
    near = get_close_matches(str(name), TASKS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise InputError(f"task: no {name!r}; {hint}tasks are {', '.join(TASKS)}")
