import pytest

from experiments.training.config import load_experiment, load_training, read_experiment
from experiments.training.methods import build_solver
from experiments.training.run import resolve, trials
from solvers.network import Network
from spu_circuit.errors import InputError

TEXT = """
name = "small"
task = "digits"
steps = 2
batch_size = 8
seeds = [0]
[data]
train = 100
validation = 20
test = 20
[network]
kind = "mlp"
hidden = [4]
[optimizers.tngd]
kind = "tngd"
learning_rates = [0.5]
"""


SGD = {"kind": "sgd", "learning_rates": [0.1]}


def test_shipped_configs_load_and_put_the_circuit_first():
    for name in ("digits", "mnist", "fashion", "poisson", "regression", "characters", "qa"):
        training = load_training(name)
        assert trials(training)[0].optimizer.startswith("tngd")
        resolve(training.experiments[0])


def test_resolved_config_spells_out_the_hardware():
    assert resolve(load_experiment("digits"))["hardware"]["tngd"]["cell"]["capacitance"] == pytest.approx(1e-8)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("steps = 2", "stepps = 2", "unknown key 'stepps'; did you mean 'steps'"),
        (
            "learning_rates",
            "learning_rate",
            "unknown key 'optimizers.tngd.learning_rate'; did you mean 'learning_rates'",
        ),
        ("hidden = [4]", "hidden = [0]", "layer without units"),
        ("seeds = [0]", "seeds = [0, 0]", "repeat"),
        ("batch_size = 8", "batch_size = 800", "above the 100 training samples"),
        ('kind = "tngd"', 'kind = "adam"\nmomentum = 0.5', "kind 'adam' has no 'momentum'"),
        ('kind = "tngd"', 'kind = "tngd"\nhardware = "nope"', "no preset or file 'nope'"),
        ('kind = "tngd"', 'kind = "tngd"\nengine = "nope"', "no 'nope'; engines are"),
        ('kind = "tngd"', 'kind = "tngd"\nadam = true\nsigns = true', "signs and adam are two ways to make a step"),
        ('kind = "tngd"', 'kind = "tngd"\nwarm_start = true', "warm_start belongs to the primal mapping"),
        ("[0.5]", "[nan]", "finite"),
        ("[0.5]", "[0.5, 0.5]", "learning_rates repeat"),
        ("seeds = [0]", "seeds = [-1]", "greater than or equal to 0"),
        ('kind = "tngd"', 'kind = "tngd"\ncurvature_samples = 9', "above batch_size 8"),
        ('kind = "tngd"', 'kind = "tngd"\nhardware = "none"\nengine = "sde"', "has no 'engine'"),
        ('kind = "tngd"', 'kind = "tngd"\nlinearise = true', "engine 'ngspice' has no 'linearise'; leave it out"),
        ('kind = "tngd"', 'kind = "tngd"\nengine = "network"\nreadout_bandwidth = 1e6', "has no unit"),
        ('"small"', '"../small"', "name: "),
        (
            'task = "digits"',
            "",
            "task is missing; add task = 'NAME', one of digits, mnist, fashion, poisson, regression, characters, qa",
        ),
        ('task = "digits"', 'task = "digit"', "task: no 'digit'; did you mean 'digits'"),
        (
            'task = "digits"',
            "task = []",
            r"task: no \[\]; tasks are digits, mnist, fashion, poisson, regression, characters, qa",
        ),
        ("validation = 20", "validations = 20", "unknown key 'data.validations'; did you mean 'validation'"),
        ("[data]\ntrain = 100\nvalidation = 20\ntest = 20", "data = 3", "data: .*dictionary"),
        ("[network]", "[networks]", "network is missing"),
        ('kind = "mlp"', 'kind = "mpl"', "network.kind: Input should be 'mlp' or 'cnn'"),
        ('kind = "tngd"', 'kind = "tgnd"', "no optimizer of kind 'tgnd'; did you mean 'tngd'"),
        ("steps = 2", "steps = 0", "steps: .*greater than or equal to 1"),
    ],
)
def test_mistakes_are_one_line_with_the_cure(tmp_path, before, after, words):
    assert before in TEXT
    path = tmp_path / "small.toml"
    path.write_text(TEXT.replace(before, after, 1))
    with pytest.raises(InputError, match=words):
        resolve(load_experiment(path))


def test_a_matrix_that_no_encoder_has_is_answered_by_the_nearest():
    document = {
        **{"name": "small", "task": "qa", "steps": 1, "batch_size": 1, "seeds": [0]},
        **{"data": {"train": 1, "validation": 1, "test": 1}, "optimizers": {"one": SGD}},
    }
    for wrong, words in (("vlaue", "no matrix 'vlaue'; did you mean 'value'"), ("query", "query, query repeat")):
        with pytest.raises(InputError, match=rf"network\.matrices: {words}"):
            read_experiment({**document, "network": {"matrices": ["query", wrong]}}, "small")


def test_network_engine_takes_its_options_from_the_config(tmp_path):
    path = tmp_path / "small.toml"
    options = 'kind = "tngd"\nengine = "network"\nlinearise = true\nreadout_bandwidth = "10 MHz"'
    path.write_text(TEXT.replace('kind = "tngd"', options, 1))
    solver = build_solver(load_experiment(path).optimizers["tngd"])
    assert solver.engine == Network(linearise=True, readout_bandwidth=1e7)


def test_missing_config_lists_the_shipped_ones():
    with pytest.raises(
        InputError,
        match="configs that come with it are cells, characters, digits, fashion, mnist, poisson, qa, regression",
    ):
        load_experiment("digit")


GRID = TEXT + '[grid]\n"optimizers.tngd.damping" = [0.5, 1]\nbatch_size = [4, 8]\n'


def test_every_combination_of_a_grid_is_a_point(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(GRID)
    training = load_training(path)
    set_there = [(e.optimizers["tngd"].damping, e.batch_size) for e in training.experiments]
    assert set_there == [(0.5, 4), (0.5, 8), (1, 4), (1, 8)]
    assert [tuple(setting.values()) for setting in training.settings] == set_there
    assert [(trial.point, trial.seed) for trial in trials(training)] == [(0, 0), (1, 0), (2, 0), (3, 0)]
    with pytest.raises(InputError, match="grid: one experiment is wanted here"):
        load_experiment(path)


LIST = (
    TEXT
    + """
[optimizers.adam]
kind = "adam"
learning_rates = [0.01]
[[grid]]
"hardware.array.bits" = [10, 4]
"optimizers.adam.learning_rates" = [[0.01], [0.02]]
[[grid]]
"hardware.noise.injected" = ["0 V", "1 mV"]
"""
)


def test_several_grids_move_apart_and_what_is_alike_is_trained_once(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(LIST)
    training = load_training(path)
    assert [tuple(setting.values()) for setting in training.settings] == [
        *((10, [0.01]), (10, [0.02]), (4, [0.01]), (4, [0.02])),
        *(("0 V",), ("1 mV",)),
    ]
    # The preset has 10 bits and no injected noise: so the fifth point is the first.
    assert [at["tngd"] for at in training.trained_at] == [0, 0, 2, 2, 0, 5]
    assert [at["adam"] for at in training.trained_at] == [0, 1, 0, 1, 0, 0]
    found = {(trial.point, trial.optimizer) for trial in trials(training)}
    assert found == {(0, "tngd"), (2, "tngd"), (5, "tngd"), (0, "adam"), (1, "adam")}


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            "hardware.noise.injected",
            "hardware.array.bits",
            r"grid\.hardware\.array\.bits is in two tables \[\[grid\]\]",
        ),
        ('"hardware.noise.injected" = ["0 V", "1 mV"]', "", r"one of the tables \[\[grid\]\] is empty; leave it out"),
        ('"hardware.noise.injected" =', "steps =", r"small\.toml: steps: .*valid integer"),
    ],
)
def test_mistakes_in_several_grids_are_one_line_with_the_cure(tmp_path, before, after, words):
    path = tmp_path / "small.toml"
    assert before in LIST
    path.write_text(LIST.replace(before, after))
    with pytest.raises(InputError, match=words) as caught:
        load_training(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("tngd.damping", "tngd.dampin", r"unknown key 'optimizers\.tngd\.dampin'; did you mean 'damping'"),
        ("optimizers.tngd.damping", "optimizers.tgnd.damping", r"optimizers\.tgnd\.kind is missing"),
        ("optimizers.tngd.damping", "steps.first", "'steps' is not a table; check the name"),
        ("[0.5, 1]", "[0.5, 0.5]", r"grid\.optimizers\.tngd\.damping repeats a value"),
        ("[0.5, 1]", "0.5", "write a list of at least one value"),
        ("[0.5, 1]", "[0.5, -1]", r"damping: .*greater than 0"),
        ("batch_size = [4, 8]", 'name = ["a", "b"]', r"grid\.name: all points share it"),
        ("batch_size = [4, 8]", "workers = [1, 2]", r"grid\.workers: all points share it"),
        ("batch_size = [4, 8]", 'task = ["digits", "mnist"]', r"grid\.task: all points share it"),
    ],
)
def test_mistakes_in_a_grid_are_one_line_with_the_cure(tmp_path, before, after, words):
    path = tmp_path / "small.toml"
    assert before in GRID
    path.write_text(GRID.replace(before, after))
    with pytest.raises(InputError, match=words) as caught:
        load_training(path)
    assert "\n" not in str(caught.value)


DEVICES = (
    TEXT
    + """
[optimizers.other]
kind = "tngd"
learning_rates = [0.5]
hardware = { base = "paper", scaling = "jacobi" }
[optimizers.ideal]
kind = "tngd"
learning_rates = [0.5]
hardware = "none"
[optimizers.digital]
kind = "ngd"
learning_rates = [0.5]
hardware = "bench"
[optimizers.exact]
kind = "ngd"
learning_rates = [0.5]
[optimizers.adam]
kind = "adam"
learning_rates = [0.01]
"""
)


def test_a_table_of_hardware_changes_fields_of_all_devices(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(DEVICES + "[hardware]\ndac.bits = 5\n[hardware.variation.array_resistor]\nstuck_open = 0.01\n")
    optimizers = load_experiment(path).optimizers
    bench, paper = (optimizers[name].device() for name in ("tngd", "other"))
    assert (bench.name, bench.dac.bits, bench.adc.bits, bench.scaling) == ("bench", 5, 16, "none")
    assert (paper.name, paper.dac.bits, paper.adc.bits, paper.scaling) == ("paper", 5, 16, "jacobi")
    assert bench.variation.array_resistor.stuck_open == 0.01
    digital = optimizers["digital"].device()
    assert (digital.name, digital.dac.bits, digital.adc.bits) == ("bench", 5, 16)
    assert optimizers["exact"].device() is None
    assert optimizers["ideal"].device() is None
    assert optimizers["adam"].device() is None


def test_a_grid_sets_fields_of_all_devices_or_of_one(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(
        DEVICES + '[grid]\n"hardware.dac.bits" = [6, 8]\n"optimizers.tngd.hardware.array.bits" = [3, 4]\n'
        '"optimizers.other.hardware" = ["paper", "bench"]\n'
    )
    training = load_training(path)
    found = [[e.optimizers[name].device() for name in ("tngd", "other")] for e in training.experiments]
    set_there = [(one.dac.bits, one.array.bits, other.name, other.dac.bits) for one, other in found]
    assert set_there == [(d, a, n, d) for d in (6, 8) for a in (3, 4) for n in ("paper", "bench")]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("dac.bit = 5", r"optimizers\.tngd: hardware bench with changes: unknown key 'dac.bit'; did you mean 'bits'"),
        ("dac.bits = 1", r"optimizers\.tngd: hardware bench with changes: dac.bits: .*greater than or equal to 2"),
        ('base = "bench"', r"hardware\.base: every optimizer names its own"),
    ],
)
def test_mistakes_in_hardware_are_one_line_with_the_cure(tmp_path, more, words):
    path = tmp_path / "small.toml"
    path.write_text(DEVICES + f"[hardware]\n{more}\n")
    with pytest.raises(InputError, match=words) as caught:
        resolve(load_experiment(path))
    assert "\n" not in str(caught.value)


def test_changes_of_hardware_need_a_device(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(TEXT.replace('kind = "tngd"', 'kind = "tngd"\nhardware = "none"') + "[hardware]\ndac.bits = 5\n")
    with pytest.raises(InputError, match="hardware changes devices, and no optimizer has one; leave it out"):
        load_experiment(path)
    path.write_text(TEXT.replace('kind = "tngd"', 'kind = "tngd"\nhardware = { base = "none", dac.bits = 5 }'))
    with pytest.raises(InputError, match="hardware 'none' has no fields"):
        load_experiment(path)


def test_a_pretrained_model_is_that_of_the_command_where_the_task_has_one():
    assert [each.data.model for each in load_training("qa").with_model("folder").experiments] == ["folder"]
    with pytest.raises(InputError, match="model: task 'digits' has no pretrained model; leave --model out"):
        load_training("digits").with_model("folder")
