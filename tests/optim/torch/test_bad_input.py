"""Bad input: one line with the field, the value and the cure; neither gradients nor state change."""

import pytest
import torch
from torch import nn

from optim.torch import NaturalGradient
from solvers.digital import Digital
from solvers.network import Network
from spu_circuit.errors import InputError
from spu_circuit.hardware import load_hardware
from tests.optim.torch.cases import COINS, IMAGES, INPUTS, LABELS, VALUES, cnn, mlp

CROSS_ENTROPY = nn.CrossEntropyLoss()


def natural_of(model, loss=CROSS_ENTROPY, damping=0.5, **options):
    return NaturalGradient(model, loss, options.pop("solver", Digital()), damping, **options)


def refused(model, line, inputs=INPUTS, targets=LABELS, loss=CROSS_ENTROPY, **options):
    """A step says the line, and leaves everything as it was."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    natural = natural_of(model, loss, **options)
    with pytest.raises(InputError, match=line) as error:
        natural.step(inputs, targets)
    assert "\n" not in str(error.value)
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert natural.number == 0
    return str(error.value)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(4), nn.BatchNorm1d(4, track_running_stats=False).eval()])
def test_samples_that_batch_norm_couples(norm):
    model = nn.Sequential(nn.Linear(5, 4), norm, nn.Linear(4, 3))
    line = refused(model, "^model: 1 is a BatchNorm1d that normalises over the batch, so a sample's outputs depend on")
    assert ("by .eval() on it" if norm.training else "track_running_stats=True") in line
    assert "GroupNorm" in line


def test_batch_norm_that_does_not_know_its_size_yet():
    natural = natural_of(nn.Sequential(nn.Linear(5, 3), nn.LazyBatchNorm1d()))
    with pytest.raises(InputError, match=r"^model: 1 is a LazyBatchNorm1d that normalises over the batch"):
        natural.step(INPUTS, LABELS)


def test_samples_that_anything_else_couples():
    class Centred(nn.Linear):
        def forward(self, inputs):
            outputs = super().forward(inputs)
            return outputs - outputs.mean(dim=0)

    refused(
        Centred(5, 3), "^model: outputs of a sample alone differ by .* from those in its batch, so samples are coupled"
    )


def test_a_module_that_branches_on_values():
    class Branching(nn.Linear):
        def forward(self, inputs):
            return super().forward(inputs if inputs.sum() > 0 else -inputs)

    refused(Branching(5, 3), "^model: torch.func.vmap cannot take it sample by sample: .*; replace what it names")


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize(
    ("made", "line"),
    [
        (lambda: nn.Sequential(nn.LSTM(5, 3)), "0 is a LSTM, .*; go through time with GRUCell or RNNCell$"),
        (lambda: nn.LSTMCell(5, 3), "it is a LSTMCell, .*; take GRUCell or RNNCell$"),
        (lambda: nn.DataParallel(mlp()), "it is a DataParallel, .*; give the module in it, its .module$"),
        (lambda: torch.jit.ScriptModule(), "it is a ScriptModule, .*; give the module that it was made from$"),
    ],
)
def test_modules_that_cannot_be_taken_sample_by_sample(made, line):
    with pytest.raises(InputError, match=f"^model: {line}") as error:
        natural_of(made())
    assert "which torch.func cannot take sample by sample; " in str(error.value)


@pytest.mark.parametrize("cell", [nn.GRUCell, nn.RNNCell])
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_what_is_advised_in_the_place_of_recurrent_modules(cell):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = cell(5, 3)

        def forward(self, inputs):
            state = inputs.new_zeros(len(inputs), 3)
            for part in (inputs, 2 * inputs):
                state = self.cell(part, state)
            return state

    model = Recurrent()
    natural_of(model).step(INPUTS, LABELS)
    assert all(p.grad.abs().max() > 0 for p in model.parameters())


def test_a_model_that_is_no_module():
    with pytest.raises(InputError, match=r"^model is a function; give a torch\.nn\.Module$"):
        natural_of(lambda inputs: inputs)


def test_errors_of_a_module_that_takes_batches_alone():
    class Picky(nn.Linear):
        def forward(self, inputs):
            if len(inputs) < 2:
                raise ValueError("one sample is too few")
            return super().forward(inputs)

    refused(Picky(5, 3), "^model: torch.func.vmap cannot take it sample by sample: one sample is too few; ")


def test_sparse_gradients():
    class Sparse(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(7, 3, sparse=True)

        def forward(self, words):
            return self.table(words)

    refused(Sparse(), "^gradient of table.weight is sparse; make the module .* sparse=False$", inputs=LABELS)


def test_the_class_of_a_loss_in_its_place():
    with pytest.raises(InputError, match=r"^loss: MSELoss is a class; give torch.nn.MSELoss\(\)$"):
        natural_of(mlp(), nn.MSELoss)


@pytest.mark.parametrize("loss", [nn.L1Loss(), nn.functional.cross_entropy, lambda outputs, targets: outputs.sum()])
def test_a_loss_whose_curvature_is_not_known(loss):
    with pytest.raises(
        InputError, match=r"^loss: no curvature is known of .*; give one of torch.nn.CrossEntropyLoss\(\), "
    ):
        natural_of(mlp(), loss)


@pytest.mark.parametrize(
    ("loss", "targets", "line"),
    [
        (
            nn.CrossEntropyLoss(weight=torch.ones(3)),
            LABELS,
            "class weights make no mean over samples; leave weight out",
        ),
        (nn.CrossEntropyLoss(label_smoothing=0.1), LABELS, "label_smoothing is 0.1; .* use 0"),
        (nn.CrossEntropyLoss(ignore_index=2), LABELS, "targets hold ignore_index 2; leave those samples"),
        (nn.MSELoss(), VALUES[:, :1], r"outputs have shape \(6, 3\), targets \(6, 1\); they must agree"),
        (nn.BCEWithLogitsLoss(pos_weight=torch.ones(3)), COINS, "pos_weight makes no mean over samples; leave it out"),
    ],
)
def test_a_loss_that_is_no_mean_over_samples(loss, targets, line):
    refused(mlp(), f"^loss: {line}", targets=targets, loss=loss)


@pytest.mark.parametrize(
    ("loss", "targets", "line"),
    [
        (
            CROSS_ENTROPY,
            LABELS[:5],
            r"outputs have shape \(6, 3\), targets \(5,\); give classes \(6,\), whole numbers, or",
        ),
        (CROSS_ENTROPY, VALUES[:5], r"outputs have shape \(6, 3\), targets \(5, 3\); .* or their shares \(6, 3\)$"),
        (CROSS_ENTROPY, LABELS + 1, "targets hold class 3, but outputs have 3 classes; classes are from 0 to 2$"),
        (CROSS_ENTROPY, LABELS - 1, "targets hold class -1, but outputs have 3 classes"),
        (CROSS_ENTROPY, LABELS.int(), r"targets are torch.int32; give classes as torch.int64, by .long\(\)$"),
        (nn.MSELoss(), VALUES[:5], r"outputs have shape \(6, 3\), targets \(5, 3\); they must agree$"),
        (nn.MSELoss(), VALUES.long(), r"targets are torch.int64; give floating-point numbers, by .float\(\)$"),
        (nn.BCEWithLogitsLoss(), COINS.long(), r"targets are torch.int64; give floating-point numbers"),
    ],
)
def test_targets_that_do_not_fit_the_outputs(loss, targets, line):
    refused(mlp(), f"^loss: {line}", targets=targets, loss=loss)


def test_targets_that_are_no_tensor():
    refused(mlp(), "^targets are a list; give a tensor$", targets=LABELS.tolist())


def test_shares_of_classes_are_targets_too():
    natural_of(mlp()).step(INPUTS, torch.softmax(VALUES, dim=1))


def test_scores_of_a_single_class():
    refused(
        nn.Linear(5, 1), r"^loss: outputs have shape \(6, 1\); give scores of two or more classes", targets=LABELS * 0
    )


def test_a_sum_over_the_batch():
    with pytest.raises(InputError, match=r"^loss: reduction is 'sum'; it must be 'mean', over the batch$"):
        natural_of(mlp(), nn.MSELoss(reduction="sum"))


def test_gradients_that_are_not_finite():
    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.zeros(3))

        def forward(self, inputs):
            return self.scale.sqrt() + inputs[:, :3]

    refused(Root(), "^gradient of scale is not finite in step 0; lower the learning rate or raise the damping")
    refused(mlp(), "^loss is not finite in step 0; ", inputs=INPUTS * torch.inf)


def test_a_curvature_that_is_not_finite():
    """The gradient of the squared root of a sum that is zero is not finite; where the outputs are right it counts for
    nothing in the loss, but not in the Gauss-Newton matrix."""

    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, inputs):
            return Steep.apply(self.scale * inputs)

    class Steep(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(inputs):
            return inputs.clone()

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, gradient):
            return torch.where(gradient == 0, 0, gradient * 3e38 * 3e38)

    refused(Cut(), "^curvature of sample 0 is not finite in step 0; ", targets=INPUTS.clone(), loss=nn.MSELoss())


@pytest.mark.parametrize(
    ("kind", "draws", "budget", "cure"),
    [
        # A row of 119 parameters takes 952 bytes.
        ("ggn", 1, 10_000, r"K = 12 rows of 119 parameters, 1.14e-05 GB, .* draws=1 or a batch of 5 fits, or raise"),
        (
            "sampled fisher",
            4,
            12_000,
            r"K = 24 rows of 119 parameters, .*; draws=2 or a batch of 3 fits, or raise budget$",
        ),
        ("fisher", 1, 2_000, r"K = 6 rows of 119 parameters, .*; a batch of 2 fits, or raise budget$"),
        # Neither fewer draws of the batch nor a sample with as many draws fit.
        (
            "ggn",
            1,
            1_000,
            r"K = 12 rows of 119 .*; curvature='sampled fisher' and a batch of 1 fits, or raise budget$",
        ),
        ("sampled fisher", 7, 4_000, r"K = 42 rows of 119 parameters, .*; draws=1 and a batch of 4 fits, or raise"),
        ("ggn", 1, 900, r"K = 12 rows of 119 parameters, .*; not even one row fits; freeze parameters, or raise"),
    ],
)
def test_a_factor_beyond_the_budget(kind, draws, budget, cure):
    refused(cnn(), f"^curvature: {kind} makes {cure}", IMAGES, curvature=kind, draws=draws, budget=budget)
    if " and a batch" in cure:
        kind, draws = "sampled fisher", 1
        fitting = int(cure.partition("a batch of ")[2][0])
    else:
        fitting = {"ggn": 5, "sampled fisher": 3, "fisher": 2}[kind]
    if "not even" not in cure:
        natural_of(cnn(), curvature=kind, draws=draws, budget=budget).step(IMAGES[:fitting], LABELS[:fitting])


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"curvature": "gnn"}, "^curvature: no 'gnn'; did you mean 'ggn'"),
        ({"curvature": "fisher", "draws": 2}, "^draws is 2, but fisher draws nothing; use curvature='sampled fisher'$"),
        ({"curvature": "sampled fisher", "draws": 0}, "^draws is 0; it must be 1 or more$"),
        ({"micro_batch_size": 0}, "^micro_batch_size is 0; it must be 1 or more$"),
        ({"damping": 0}, "^damping is 0; it must be above zero$"),
        ({"memory": 1.0}, "^memory is 1.0; it must be from 0 to below 1"),
        ({"analog_time": 2.0}, "^a digital solver knows no time"),
        ({"mapping": "tripel"}, "^mapping: no 'tripel'"),
        ({"mapping": "kernel", "curvature": "sampled fisher"}, "^mapping 'kernel': the gradient must lie in the rows"),
        ({"warm_start": True}, "^warm_start belongs to the primal mapping"),
        ({"seed": -1}, "^seed is -1; it must be from 0 to"),
        ({"doublings": -1}, "^doublings is -1; it must be 0 or more$"),
        ({"curvature": None}, "^curvature: no None; curvatures are ggn, fisher, sampled fisher$"),
        ({"damping": "1"}, "^damping is '1'; give a number$"),
        ({"damping": None}, "^damping is None; give a number$"),
        ({"memory": "0.9"}, "^memory is '0.9'; give a number$"),
        ({"analog_time": "2"}, "^analog_time is '2'; give a number$"),
        ({"budget": "4 GB"}, "^budget is '4 GB'; give a number$"),
        ({"budget": 0}, "^budget is 0; it must be 1 or more$"),
        ({"seed": 1.5}, "^seed is 1.5; give a whole number$"),
        ({"draws": 2.5, "curvature": "sampled fisher"}, "^draws is 2.5; give a whole number$"),
        ({"micro_batch_size": 2.5}, "^micro_batch_size is 2.5; give a whole number$"),
        ({"doublings": 2.5}, "^doublings is 2.5; give a whole number$"),
        ({"solver": None}, r"^solver is a NoneType; give a solver, as Digital\(\), "),
        ({"solver": "bench"}, "^solver is a str; give a solver, as "),
        ({"solver": Digital}, "^solver is the class Digital; give a solver, as "),
        ({"solver": load_hardware("bench")}, "^solver is a Hardware; give a solver, as "),
        ({"solver": Network()}, "^solver is a Network; give a solver, as "),
    ],
)
def test_options_out_of_range(options, line):
    with pytest.raises(InputError, match=line):
        natural_of(mlp(), **options)


def test_a_damping_that_becomes_no_number():
    refused(mlp(), "^damping is None; give a number$", damping=lambda number: None)


def test_woodbury_where_the_mapping_is_woodbury():
    refused(
        mlp(), r"^woodbury needs a system with .*: use Digital\(\), or mapping 'primal'$", solver=Digital("woodbury")
    )


def test_a_module_without_anything_to_train():
    with pytest.raises(InputError, match=r"^model: no parameter requires a gradient; set requires_grad"):
        natural_of(mlp().requires_grad_(False))


@pytest.mark.parametrize(
    ("inputs", "line"),
    [
        ((INPUTS, INPUTS[:2]), r"^inputs have first dimensions \[2, 6\]; give tensors \(b, ...\) of one batch$"),
        (INPUTS.numpy(), "^inputs hold a ndarray; give tensors"),
    ],
)
def test_inputs_that_are_no_batch(inputs, line):
    refused(mlp(), line, inputs=inputs)


def test_a_module_that_returns_no_tensor():
    class Pair(nn.Linear):
        def forward(self, inputs):
            return {"logits": super().forward(inputs)}

    refused(Pair(5, 3), r"^model returns a dict for 6 samples; it must return one tensor \(6, ...\): wrap it")


def test_parameters_that_change_under_a_memory():
    model = mlp()
    natural = natural_of(model, memory=0.9)
    natural.step(INPUTS, LABELS)
    model[0].bias.requires_grad_(False)
    with pytest.raises(InputError, match=r"^the trained parameters are others than a step before; make a new Natural"):
        natural.step(INPUTS, LABELS)


def test_a_state_that_does_not_fit():
    model = mlp()
    natural = natural_of(model, memory=0.9)
    natural.step(INPUTS, LABELS)
    state = natural.state_dict()
    with pytest.raises(InputError, match=r"^state was saved with memory; use the same$"):
        natural_of(model).load_state_dict(state)
    with pytest.raises(InputError, match=r"^state is of 4 parameters, the module trains 4 or others; load it with the"):
        natural_of(cnn(), memory=0.9).load_state_dict(state)
    with pytest.raises(InputError, match=r"^state: remembered has shape \(2,\); this module needs \(39,\)$"):
        natural_of(model, memory=0.9).load_state_dict(state | {"remembered": torch.zeros(2)})
    with pytest.raises(InputError, match=r"^state has lr; it needs basis, damping, number, "):
        natural_of(model).load_state_dict({"lr": 0.1})
    with pytest.raises(InputError, match=r"^state is a NoneType; give what state_dict\(\) returned$"):
        natural_of(model).load_state_dict(None)
