"""Which commands there are, what they need, and what loads before one is run."""

import configparser
import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions

import numpy as np
import pytest

from experiments.cli import COMMANDS, loaded
from experiments.shared.extras import EXTRAS

BLOCKED = """
import json, sys
sys.modules.update(dict.fromkeys({names!r}))  # importing one of these fails as if it were not installed
from experiments.cli import main
statuses = []
for words in {commands!r}:
    sys.argv = ["spu-circuit", *words]
    try:
        main()
    except SystemExit as ended:
        statuses.append(ended.code)
print(json.dumps(statuses))
"""


def python(code, cwd=None):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd)


def after(code):
    """Which modules are loaded after some code."""
    run = python(f"{code}\nimport sys\nprint('modules:', *sys.modules)")
    assert run.returncode == 0, run.stderr
    return set(run.stdout.rpartition("modules:")[2].split())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_commands_help_begins_with(name):
    told = " ".join(loaded(name).help.split("\n\n")[0].split())
    assert f"{told} ".startswith(f"{COMMANDS[name].summary} ")


def test_help_loads_nothing_that_computes():
    code = "import sys; sys.argv = ['spu-circuit', '--help']\nfrom experiments.cli import main\n"
    found = after(code + "try: main()\nexcept SystemExit: pass")
    packages = {name.partition(".")[0] for name in found}
    assert "typer" in packages
    assert not packages & {"numpy", "scipy", "PySpice", "pydantic", *(m for own in EXTRAS.values() for m in own)}


def test_importing_the_solvers_loads_no_part_of_scipy_nor_pyspice_nor_any_engine():
    """They take longer than all the rest."""
    found = after("import solvers.spu")
    assert not found & {"solvers.network", "solvers.ngspice", "solvers.ideal"}
    assert not found & {"PySpice", "scipy.linalg", "scipy.sparse", "scipy.special", "scipy.fft", "scipy.constants"}


def test_a_plain_installation_solves_and_commands_say_what_they_lack(tmp_path):
    np.save(tmp_path / "A.npy", np.diag([1.0, 2.0]))
    np.save(tmp_path / "b.npy", np.ones(2))
    given = ["--matrix", "A.npy", "--vector", "b.npy"]
    able = [
        *(["solve", *given, "--engine", name] for name in ("network", "ngspice", "sde")),
        ["netlist", *given],
        ["hardware", "show", "bench"],
        ["cost", "--cells", "8", "--parameters", "100"],
        ["validate", "--help"],
    ]
    unable = {
        "sweep": ("x.toml", "sweep"),
        "tolerate": ("x.toml", "sweep"),
        "train": ("x.toml", "train"),
        "claims": ("refinement", "train"),
        "report": (".", "report"),
    }
    lacking = sorted({module for modules in EXTRAS.values() for module in modules} - {"matplotlib"})  # PySpice has it
    commands = [*able, *([name, argument] for name, (argument, _) in unable.items())]
    run = python(BLOCKED.format(names=lacking, commands=commands), tmp_path)
    assert json.loads(run.stdout.splitlines()[-1]) == [0] * len(able) + [2] * len(unable), run.stderr
    told = run.stderr.splitlines()
    assert len(told) == len(unable)
    for line, (name, (_, extra)) in zip(told, unable.items(), strict=True):
        assert line.startswith(f"error: {name} needs {', '.join(m for m in EXTRAS[extra] if m in lacking)}; ")
        assert line.endswith(f"pip install 'spu-circuit[{extra}]'")


def test_a_package_that_is_missed_on_the_way_is_told_as_well(tmp_path):
    """Whatever imports it, and whenever."""
    code = "import sys; sys.modules['SALib'] = None; import typer; import experiments.cli as commands\n"
    code += "def fake(): import SALib.analyze\n"
    code += "commands.loaded = lambda name: typer.main.get_command(app)\n"
    code += "app = typer.Typer(); app.command('solve')(fake); sys.argv = ['x', 'solve']; commands.main()"
    run = python(code)
    assert (run.returncode, run.stderr) == (
        2,
        "error: this needs SALib; install it with: pip install 'spu-circuit[sweep]'\n",
    )


def test_the_extras_of_the_installation_are_those_that_commands_ask_for(pytestconfig):
    config = configparser.ConfigParser()
    config.read(pytestconfig.rootpath / "setup.cfg")
    extras = {name: text.split() for name, text in config["options.extras_require"].items()}
    modules = {}
    for module, names in packages_distributions().items():
        for name in names:
            modules.setdefault(name.lower(), set()).add(module)

    def expanded(name):
        found = set()
        for wanted in extras[name]:
            own, _, others = wanted.partition("[")
            if own == "spu-circuit":
                found.update(*(expanded(other) for other in others.rstrip("]").split(",")))
            else:
                package = re.split("[=>]", wanted)[0].lower()
                found |= modules.get(package, {package.replace("-", "_")}) & known
        return found

    known = {module for own in EXTRAS.values() for module in own}
    assert {name: expanded(name) for name in EXTRAS} == {name: set(own) for name, own in EXTRAS.items()}
    # What reads pretrained encoders, and what one rival needs, are installed apart.
    apart = {"language", "kfac"}
    assert expanded("all") == {module for name, own in EXTRAS.items() if name not in apart for module in own}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_has_help_and_every_time_its_unit(name):
    command = loaded(name)
    for own in getattr(command, "commands", {"": command}).values():
        assert own.help
        assert [option.name for option in own.params if not getattr(option, "help", None)] == []
    if name in ("solve", "netlist"):
        assert "units of τ" in {option.name: option for option in command.params}["time"].help
