"""Steps: what they solve, and that torch's optimizers, schedules, checkpoints and types go with them."""

import copy
import io
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from torch import nn

from optim.curvature import gauss_newton_factor, loss_and_gradient
from optim.losses import softmax_cross_entropy
from optim.natural_gradient import scale_by_natural_gradient
from optim.torch import NaturalGradient
from optim.torch.curvature import CURVATURES
from optim.torch.losses import loss_named
from solvers.digital import Digital
from solvers.ideal import IdealLaw
from solvers.network import Network
from solvers.precision.refined import Refined
from solvers.precision.rotated import Rotated, Rotating
from solvers.refinement import ENDS
from solvers.sde import Sde
from solvers.spu import Spu
from spu_circuit.errors import MappingError
from spu_circuit.hardware import load_hardware
from tests.optim.torch.cases import IMAGES, INPUTS, LABELS, LOSSES, cnn, gradients, mlp, parameters
from tests.optim.torch.test_curvature import factor, jax_mlp

CROSS_ENTROPY = nn.CrossEntropyLoss()
IDEAL, BENCH = (load_hardware(name) for name in ("ideal", "bench"))


def natural_of(model, solver=None, damping=0.5, **options):
    return NaturalGradient(model, CROSS_ENTROPY, solver or Digital(), damping, **options)


def train(model, natural, optimizer, steps=10, inputs=IMAGES):
    losses = []
    for _ in range(steps):
        losses.append(natural.step(inputs, LABELS).item())
        optimizer.step()
    return losses


def loss_gradient(model, inputs):
    return torch.cat(
        [g.reshape(-1) for g in torch.autograd.grad(CROSS_ENTROPY(model(inputs), LABELS), list(model.parameters()))]
    )


@pytest.mark.parametrize("mapping", ["primal", "dual", "kernel"])
@pytest.mark.parametrize(
    "solver", [Digital(), Digital("cg"), Sde(), Spu(IDEAL, Network()), Spu(load_hardware("factored"), IdealLaw())]
)
@pytest.mark.parametrize("kind", ["ggn", "fisher"])
def test_the_gradient_becomes_what_a_dense_solve_gives(solver, mapping, kind):
    model = mlp()
    g = loss_gradient(model, INPUTS).numpy()
    B = factor(model, kind, CROSS_ENTROPY, INPUTS, LABELS)
    expected = np.linalg.solve(B.T @ B + 0.5 * np.eye(len(g)), g)
    natural = natural_of(model, solver, curvature=kind, mapping=mapping)
    loss = natural.step(INPUTS, LABELS)
    assert loss.item() == CROSS_ENTROPY(model(INPUTS), LABELS).item()
    apart = np.linalg.norm(gradients(model).numpy() - expected) / np.linalg.norm(expected)
    assert apart < (
        0.05 if getattr(solver, "hardware", None) is not None and solver.hardware.name == "factored" else 1e-4
    )
    assert natural.solution.statistics.residual >= 0


@pytest.mark.parametrize("name", ["classes", "values", "coins"])
def test_the_kernel_mapping_goes_with_memory_and_any_loss(name):
    """Two steps, against dense solves of the N×N system; curvature far above λ costs it no digits."""
    model, inputs, (loss, targets) = mlp().double(), INPUTS.double() * 10, LOSSES[name]
    targets = targets.double() if targets.is_floating_point() else targets
    natural = NaturalGradient(model, loss, Digital(), 1e-3, mapping="kernel", memory=0.5)
    before = 0.0
    for _ in range(2):
        g = torch.cat([p.reshape(-1) for p in torch.autograd.grad(loss(model(inputs), targets), model.parameters())])
        B = factor(model, "ggn", loss, inputs, targets)
        assert np.linalg.norm(B, 2) ** 2 > 100 * 1e-3
        A = B.T @ B + 1e-3 * np.eye(len(g))
        before = np.linalg.solve(A, g.numpy() + 1e-3 * 0.5 * before)
        natural.step(inputs, targets)
        found = gradients(model).numpy()
        assert np.linalg.norm(found - before) < 1e-8 * np.linalg.norm(before)  # rounding, times the condition


@pytest.mark.parametrize("name", LOSSES)
def test_coordinates_bear_certainty_of_the_wrong_answer(name):
    """Bᵀρ is the gradient in the outputs, also where the model is all but sure of something else."""
    loss, targets = LOSSES[name]
    outputs = torch.tensor([[0.0, 0.5, -80.0], [60.0, 0.0, 1.0], [-12.0, 1.0, 2.0]], dtype=torch.float64)
    targets = torch.tensor([2, 1, 0]) if name == "classes" else targets[:3].double()
    kept = loss_named(loss)
    columns, found = kept.hessian_factor(outputs), kept.coordinates(outputs, targets)
    at = outputs.clone().requires_grad_()
    expected = torch.autograd.grad(kept.values(at, targets).sum(), at)[0]
    np.testing.assert_allclose(torch.einsum("bro,br->bo", columns, found), expected, rtol=1e-9, atol=1e-12)


@pytest.fixture
def double_precision():
    """In every thread, unlike ``jax.enable_x64``: JAX may call back in another one."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.mark.parametrize("memory", [0.0, 0.9])
@pytest.mark.parametrize("solver", [Digital(), Spu(BENCH, IdealLaw())])
@pytest.mark.usefixtures("double_precision")
def test_a_training_is_that_of_the_jax_path(solver, memory):
    """Three steps with the same device, seed and batch."""
    model = mlp().double()
    params = [jnp.asarray(p.detach().numpy()) for p in model.parameters()]
    inputs, targets = jnp.asarray(INPUTS.double().numpy()), jnp.asarray(LABELS.numpy())
    time = 6.0 if solver.analog else np.inf
    theirs = scale_by_natural_gradient(solver, 0.5, time, seed=3, memory=memory)
    state = theirs.init(params)
    ours = natural_of(model, solver, analog_time=time, seed=3, memory=memory)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(3):
        value, gradient = loss_and_gradient(jax_mlp, softmax_cross_entropy, params, inputs, targets)
        B = gauss_newton_factor(jax_mlp, softmax_cross_entropy, params, inputs, targets)
        updates, state = theirs.update(gradient, state, curvature=B)
        params = optax.apply_updates(params, [-0.5 * update for update in updates])
        assert ours.step(INPUTS.double(), LABELS).item() == pytest.approx(float(value), abs=1e-5)
        optimizer.step()
        for parameter, expected in zip(model.parameters(), updates, strict=True):
            np.testing.assert_allclose(parameter.grad, expected, atol=1e-5)


@pytest.mark.parametrize("kind", CURVATURES)
@pytest.mark.parametrize(
    "make_optimizer", [lambda p: torch.optim.SGD(p, lr=0.2, momentum=0.5), lambda p: torch.optim.Adam(p, lr=0.02)]
)
def test_training_lowers_the_loss(kind, make_optimizer):
    model = cnn()
    losses = train(model, natural_of(model, Spu(BENCH, Network()), curvature=kind), make_optimizer(model.parameters()))
    assert losses[-1] < 0.7 * losses[0]


def test_a_warm_array_goes_on_where_it_stood():
    """At time 0 nothing happens on it: the second step gives what the first left, whatever the gradient is."""
    model = mlp()
    natural = natural_of(model, Sde(), mapping="primal", warm_start=True, analog_time=0.0)
    natural.step(INPUTS, LABELS)
    left = gradients(model).clone()
    natural.step(-INPUTS, LABELS)
    torch.testing.assert_close(gradients(model), left, rtol=0, atol=0)
    torch.testing.assert_close(left, loss_gradient(model, INPUTS), rtol=1e-6, atol=1e-8)


def test_a_damping_may_be_a_function_of_the_step_or_changed():
    model = mlp()
    natural = natural_of(model, damping=lambda number: 0.5 * 2**number)
    found = []
    for _ in range(2):
        natural.step(INPUTS, LABELS)
        found.append(gradients(model))
        assert natural.solved_damping == 0.5 * 2 ** (natural.number - 1)
    fixed = natural_of(model)
    fixed.damping = 1.0
    fixed.step(INPUTS, LABELS)
    torch.testing.assert_close(gradients(model), found[1])
    assert not torch.allclose(found[0], found[1])


def test_damping_is_doubled_where_a_device_cannot_hold_the_matrix():
    """A schedule of too little damping for a coarse passive array, whose rows must be dominated by their diagonals."""
    model, passive = mlp(), Spu(load_hardware("passive"), IdealLaw())
    with pytest.raises(MappingError):
        natural_of(model, passive, 1e-3, mapping="primal").step(INPUTS, LABELS)
    natural = natural_of(model, passive, 1e-3, mapping="primal", doublings=20)
    natural.step(INPUTS, LABELS)
    assert natural.solved_damping > 1e-3
    assert np.log2(natural.solved_damping / 1e-3) == pytest.approx(round(np.log2(natural.solved_damping / 1e-3)))


@pytest.mark.parametrize("mapping", ["primal", "dual"])
def test_damping_is_doubled_where_refinement_with_a_device_diverges(mapping):
    coarse = Refined(Spu(load_hardware("rram"), IdealLaw()), 8, 1e-9)
    once, raised = (natural_of(mlp(), coarse, 0.1, mapping=mapping, doublings=n) for n in (0, 20))
    for natural in (once, raised):
        natural.step(INPUTS, LABELS)
    assert ENDS[once.solution.statistics.outcome - 1] == "diverged"
    assert ENDS[raised.solution.statistics.outcome - 1] == "exhausted"
    programs = raised.solution.statistics.programs
    assert raised.solved_damping == pytest.approx(0.1 * 2 ** (programs - 1))
    assert raised.solution.statistics.solves >= once.solution.statistics.solves + 9


def test_a_device_that_rotates_keeps_its_basis_over_a_checkpoint():
    model = mlp()
    rotating = Rotating(lambda basis: Rotated(Digital(), basis[0]), every=3, analog=False)
    natural = natural_of(model, rotating)
    natural.step(INPUTS, LABELS)
    once = gradients(model)
    natural_of(model).step(INPUTS, LABELS)
    torch.testing.assert_close(once, gradients(model), rtol=1e-5, atol=1e-7)
    again = natural_of(model, rotating)
    again.load_state_dict(natural.state_dict())
    for each in (natural, again):
        each.step(-INPUTS, LABELS)
        each.last = gradients(model)
    torch.testing.assert_close(natural.last, again.last, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["ggn", "sampled fisher"])
def test_a_resumed_training_gives_the_same_bits(kind):
    """Memory, drawn targets, dropout, a noisy device, Adam, clipping and a schedule, through a file and new objects."""

    def made():
        model = nn.Sequential(cnn(1)[:3], nn.Dropout(0.3), cnn(2)[3])
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        natural = natural_of(model, Spu(BENCH, IdealLaw()), curvature=kind, memory=0.9, seed=5, analog_time=4.0)
        return model, optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9), natural

    def go(parts, steps):
        model, optimizer, schedule, natural = parts
        for _ in range(steps):
            natural.step(IMAGES, LABELS)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()

    whole = made()
    go(whole, 4)
    half = made()
    go(half, 2)
    kept = io.BytesIO()
    torch.save([part.state_dict() for part in half], kept)
    kept.seek(0)
    resumed = made()
    for part, state in zip(resumed, torch.load(kept, weights_only=True), strict=True):
        part.load_state_dict(state)
    torch.manual_seed(99)  # the global generator decides nothing
    go(resumed, 2)
    assert torch.equal(parameters(resumed[0]), parameters(whole[0]))
    assert resumed[3].number == 4


def test_a_step_is_decided_by_its_seed_and_leaves_the_global_generator():
    def stepped(seed):
        model = nn.Sequential(mlp(), nn.Dropout(0.5))
        natural_of(model, Sde(0.1), curvature="sampled fisher", analog_time=2.0, seed=seed).step(INPUTS, LABELS)
        return gradients(model)

    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = stepped(1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(17)
    assert torch.equal(stepped(1), first)
    assert not torch.equal(stepped(2), first)


def test_frozen_parameters_are_neither_trained_nor_touched():
    model = cnn()
    model[0].requires_grad_(False)
    model[3].bias.requires_grad_(False)
    frozen = copy.deepcopy(model[0].weight), copy.deepcopy(model[3].bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, weight_decay=0.1)
    losses = train(model, natural_of(model, memory=0.9), optimizer, 5)
    assert losses[-1] < losses[0]
    assert [model[0].weight.grad, model[3].bias.grad] == [None, None]
    assert torch.equal(model[0].weight, frozen[0])
    assert torch.equal(model[3].bias, frozen[1])


def test_parameters_may_be_frozen_between_steps():
    model = cnn()
    natural = natural_of(model)
    natural.step(IMAGES, LABELS)
    model[0].requires_grad_(False)
    model.zero_grad()
    natural.step(IMAGES, LABELS)
    assert model[0].weight.grad is None
    assert gradients(model).numel() == 99


def test_groups_of_parameters_have_their_own_rates():
    model = cnn()
    before = copy.deepcopy(model)
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[3].parameters(), "lr": 0.1}]
    train(model, natural_of(model), torch.optim.SGD(groups), 1)
    assert torch.equal(model[0].weight, before[0].weight)
    torch.testing.assert_close(model[3].weight, before[3].weight - 0.1 * model[3].weight.grad)


def test_normalisation_by_running_statistics_is_allowed():
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    model.train()
    model[1].eval()
    natural_of(model).step(INPUTS, LABELS)
    assert torch.isfinite(gradients(model)).all()


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32, torch.float64])
def test_gradients_have_the_type_of_their_parameters(kind):
    model, exact = cnn().to(kind), cnn().double()
    natural_of(model).step(IMAGES.to(kind), LABELS)
    natural_of(exact).step(IMAGES.double(), LABELS)
    assert all(p.grad.dtype == kind and p.grad.device == p.device for p in model.parameters())
    found, expected = gradients(model).double(), gradients(exact)
    # Sums of some tens of rounded products.
    assert (found - expected).norm() / expected.norm() < 10 * torch.finfo(kind).eps


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_module_on_a_gpu_steps_as_on_the_host():
    host, device = cnn().double(), cnn().double().cuda()
    for model, inputs, labels in ((host, IMAGES, LABELS), (device, IMAGES.cuda(), LABELS.cuda())):
        natural_of(model, curvature="sampled fisher").step(inputs.double(), labels)
    assert all(p.grad.is_cuda for p in device.parameters())
    torch.testing.assert_close(gradients(device).cpu(), gradients(host), rtol=1e-9, atol=1e-12)


def test_torch_users_need_no_jax():
    code = "import sys; import optim.torch; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
