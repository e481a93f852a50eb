"""Training tasks. A task is one file with a ``Task`` and one line here."""

from typing import Any

from experiments.training.task import Task
from experiments.training.tasks import characters, digits, fashion, mnist, poisson, qa, regression
from spu_circuit.errors import InputError, did_you_mean
from spu_circuit.files import shortened

TASKS = {
    task.name: task
    for task in (
        digits.TASK,
        mnist.TASK,
        fashion.TASK,
        poisson.TASK,
        regression.TASK,
        characters.TASK,
        qa.TASK,
    )
}


def task_named(name: Any) -> Task:
    """A task by its name. Raises InputError where there is none."""
    if isinstance(name, str) and name in TASKS:
        return TASKS[name]
    raise InputError(f"task: no {shortened(name)}; {did_you_mean(str(name), TASKS, 'tasks')}")
