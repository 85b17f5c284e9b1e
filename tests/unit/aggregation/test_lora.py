"""LoRA: which factor moves, what may be aggregated, and the Gram matrix of products."""

import numpy as np
import pytest

from aggregation import gram, lora, registry
from aggregation.errors import AggregationError, UpdateRejected

BOTH = (("l0.lora_A", (4, 30)), ("l0.lora_B", (20, 4)))


def factors(n: int = 6, layers: int = 3, d: int = 40, k: int = 30):
    """Per client random U, V of every layer, scales far apart."""
    rng, r = np.random.default_rng(0), 4
    return [
        [
            (
                (rng.standard_normal((d + layer, r)) * 10.0 ** (layer - 3)).astype(np.float32),
                rng.standard_normal((r, k)).astype(np.float32),
            )
            for layer in range(layers)
        ]
        for _ in range(n)
    ]


def materialised(clients):
    """Gram matrix of the products in float64."""
    flat = [np.concatenate([(u.astype(np.float64) @ v.astype(np.float64)).reshape(-1) for u, v in c]) for c in clients]
    return np.array([[x @ y for y in flat] for x in flat])


def normalised(matrix) -> np.ndarray:
    """Entries over the mean of the diagonal: units drop out."""
    scale = sum(matrix[i][i] for i in range(len(matrix)))
    return np.array([[float(value / scale) if scale else 0.0 for value in row] for row in matrix])


def relative_distances(matrix):
    exact = np.array(normalised(matrix))
    return np.add.outer(np.diag(exact), np.diag(exact)) - 2 * exact


@pytest.mark.parametrize(
    ("mode", "round_", "expected"),
    [
        ("ffa", 0, (".lora_B",)),
        ("ffa", 1, (".lora_B",)),
        ("rolora", 0, (".lora_B",)),
        ("rolora", 1, (".lora_A",)),
        ("rolora", 2, (".lora_B",)),
        ("joint", 1, (".lora_A", ".lora_B")),
    ],
)
def test_which_factor_moves(mode: str, round_: int, expected: tuple[str, ...]):
    assert lora.active_suffix(mode, round_) == expected


def test_unknown_mode():
    with pytest.raises(AggregationError, match="ffa, rolora, joint"):
        lora.active_suffix("fedit", 0)


# --- what may be aggregated -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pipeline", ["mean", "median", "trimmed_mean", "multi_krum", "arc+nnm+trimmed_mean"])
def test_one_factor_goes_with_every_pipeline_and_two_do_not(pipeline: str):
    parsed = registry.parse(pipeline)
    lora.require_aggregatable("ffa", parsed, BOTH[1:])
    lora.require_aggregatable("rolora", parsed, BOTH[:1])
    lora.require_aggregatable("rolora", parsed, BOTH[1:])
    with pytest.raises(AggregationError, match="R⁻¹") as caught:
        lora.require_aggregatable("joint", parsed, BOTH)
    assert "ffa or rolora" in caught.value.hint


def test_krum_hands_on_both_factors_but_not_behind_a_change_of_them():
    krum = registry.parse("krum")
    lora.require_aggregatable("joint", krum, BOTH)
    with pytest.raises(AggregationError, match="Jointly"):
        lora.require_aggregatable("joint", registry.parse("norm_clip+krum"), BOTH)


@pytest.mark.parametrize(
    ("mode", "schema", "says"),
    [
        ("ffa", BOTH, "moves .lora_B"),
        ("ffa", BOTH[:1], "moves .lora_B"),
        ("rolora", BOTH, "moves .lora_A or .lora_B"),
        ("joint", BOTH[1:], "both factors"),
        ("ffa", (), "none"),
        ("ffa", (("head.weight", (3,)),), "no LoRA factor"),
    ],
)
def test_tensors_must_be_those_of_the_mode(mode: str, schema, says: str):
    with pytest.raises(AggregationError, match=says):
        lora.require_aggregatable(mode, registry.parse("mean"), schema)


@pytest.mark.parametrize("other", [("l0.lora_B", (20, 3)), ("l1.lora_B", (20, 4))])
def test_joint_factors_come_in_pairs_of_one_rank(other):
    with pytest.raises(AggregationError, match="counterpart"):
        lora.require_aggregatable("joint", registry.parse("mean"), (BOTH[0], other))


# --- factors of changes -----------------------------------------------------------------------------------------------


def state(seed: int, d: int = 20, k: int = 30, r: int = 4, scale: float = 1.0):
    rng = np.random.default_rng(seed)
    shapes = {"l0.lora_A": (r, k), "l0.lora_B": (d, r), "l1.lora_A": (r, k), "l1.lora_B": (d, r)}
    return {name: (rng.standard_normal(shape) * scale).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize(("mode", "round_"), [("ffa", 3), ("rolora", 0), ("rolora", 1), ("joint", 0)])
def test_product_factors_are_the_change_of_the_product(mode: str, round_: int):
    parent, change = state(1), state(2, scale=1e-2)
    suffixes = lora.active_suffix(mode, round_)
    update = {name: tensor for name, tensor in change.items() if name.endswith(suffixes)}
    child = {name: tensor + update.get(name, 0) for name, tensor in parent.items()}
    for layer, (u, v) in zip(("l0", "l1"), lora.product_factors(mode, round_, parent, update), strict=True):
        a, b = (layer + suffix for suffix in (".lora_A", ".lora_B"))
        wide = [{n: t.astype(np.float64) for n, t in x.items()} for x in (child, parent)]
        expected = wide[0][b] @ wide[0][a] - wide[1][b] @ wide[1][a]
        assert np.allclose(u.astype(np.float64) @ v, expected, rtol=0, atol=1e-6)


def test_a_missing_counterpart_is_named():
    with pytest.raises(AggregationError, match=r"l0\.lora_A"):
        lora.product_factors("ffa", 0, {}, {"l0.lora_B": np.ones((2, 2), np.float32)})


# --- the Gram matrix --------------------------------------------------------------------------------------------------


def test_equals_the_gram_matrix_of_products():
    clients = factors()
    assert np.allclose(normalised(lora.product_gram(clients)), normalised(materialised(clients)), rtol=0, atol=2e-7)


def test_joint_changes_far_smaller_than_the_factors_keep_their_distances():
    parent = state(1)
    clients = [lora.product_factors("joint", 0, parent, state(10 + i, scale=1e-4)) for i in range(5)]
    expected = relative_distances(materialised(clients))
    assert np.allclose(relative_distances(lora.product_gram(clients)), expected, rtol=1e-4, atol=1e-9)


def test_by_hand():
    u = np.array([[1.0], [2.0]], np.float32)
    v = np.array([[3.0, 0.0, -4.0]], np.float32)
    found = lora.product_gram([[(u, v)], [(-u, v)], [(u, np.float32(2) * v)], [(u[::-1].copy(), v)]])
    unit = found[0][0] // 125  # |u|²|v|² = 5 · 25
    assert unit > 0
    assert [[value / unit for value in row] for row in found] == [
        [125, -125, 250, 100],
        [-125, 125, -250, -100],
        [250, -250, 500, 200],
        [100, -100, 200, 125],
    ]


def test_a_permutation_of_clients_permutes_the_matrix_exactly():
    clients, order = factors(n=7), [3, 0, 6, 2, 5, 1, 4]
    whole = lora.product_gram(clients)
    assert lora.product_gram([clients[i] for i in order]) == [[whole[i][j] for j in order] for i in order]
    assert whole == [list(column) for column in zip(*whole, strict=True)]


def test_components_may_come_in_any_order_and_zero_ones_change_nothing():
    clients = factors(n=3, layers=1)
    u, v = clients[0][0]
    shuffled = [[(u[:, [2, 0, 3, 1]], v[[2, 0, 3, 1]])], *clients[1:]]
    wider = [[(np.pad(u, ((0, 0), (0, 2))), np.pad(v, ((0, 2), (0, 0))))], *clients[1:]]
    assert lora.product_gram(shuffled) == lora.product_gram(wider) == lora.product_gram(clients)


def test_python_integers_agree():
    clients = factors(n=3, layers=1)
    entries = {}
    for i, ((u, v),) in enumerate(clients):
        for a in range(4):
            images = []
            for vector in (u[:, a], v[a]):
                shift = 19 - int(np.frexp(np.abs(vector).max())[1])
                images.append((shift, [int(g) for g in np.rint(vector.astype(np.float64) * 2.0**shift)]))
            entries[i, a] = images
    base = max(us + vs for (us, _), (vs, _) in entries.values())
    expected = [[0] * 3 for _ in range(3)]
    for (i, a), ((us, ug), (vs, vg)) in entries.items():
        for (j, b), ((us2, ug2), (vs2, vg2)) in entries.items():
            dots = sum(x * y for x, y in zip(ug, ug2, strict=True)) * sum(x * y for x, y in zip(vg, vg2, strict=True))
            expected[i][j] += dots << (2 * base - us - vs - us2 - vs2)
            assert a >= 0
            assert b >= 0
    assert lora.product_gram(clients) == expected


def test_more_than_one_chunk_is_exact_at_the_largest_values():
    size = 3 * 8192 + 5
    u, v = np.full((size, 1), 1 - 2.0**-24, np.float32), np.full((1, 1), 1.0, np.float32)
    ((value,),) = lora.product_gram([[(u, v)]])
    assert value == size * (2**19) ** 2 * (2**18) ** 2


def rotated(clients, seed: int):
    """Every client in a gauge of its own: the products stay."""
    rng = np.random.default_rng(seed)
    turned = []
    for client in clients:
        r = np.linalg.qr(rng.standard_normal((client[0][0].shape[1],) * 2))[0]
        turned.append([((u @ r).astype(np.float32), (r.T @ v).astype(np.float32)) for u, v in client])
    return turned


def test_distances_of_products_do_not_depend_on_the_gauge():
    clients = factors()
    before, after = (relative_distances(lora.product_gram(c)) for c in (clients, rotated(clients, 5)))
    assert np.allclose(before, after, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("pipeline", ["median", "trimmed_mean:f=1", "mean"])
def test_rules_on_factors_do_depend_on_the_gauge(pipeline: str):
    rng = np.random.default_rng(9)
    base_u, base_v = rng.standard_normal((20, 4)), rng.standard_normal((4, 30))
    clients = [
        [((base_u + 0.1 * rng.standard_normal((20, 4))).astype(np.float32), base_v.astype(np.float32))]
        for _ in range(7)
    ]
    schema = (("l0.lora_A", (4, 30)), ("l0.lora_B", (20, 4)))

    def product(group):
        updates = {bytes([i]): {"l0.lora_B": u, "l0.lora_A": v} for i, ((u, v),) in enumerate(group)}
        out = registry.parse(pipeline).aggregate(updates, schema).tensors
        return out["l0.lora_B"].astype(np.float64) @ out["l0.lora_A"]

    honest, turned = product(clients), product(rotated(clients, 5))
    truth = np.mean([u.astype(np.float64) @ v for ((u, v),) in clients], axis=0)
    assert np.linalg.norm(honest - truth) < 0.1 * np.linalg.norm(truth)
    assert np.linalg.norm(turned - truth) > 0.5 * np.linalg.norm(truth)


def test_the_matrix_serves_cosines():
    u, v = factors(n=1, layers=1)[0][0]
    found = lora.product_gram([[(u, v)], [(-u, v)], [(u, np.float32(4) * v)]])
    assert gram.cosine_ppm(found, 0, 1) == -1_000_000
    assert gram.cosine_ppm(found, 0, 2) == 1_000_000


def test_no_clients_no_layers_and_zero_factors():
    zero = (np.zeros((3, 2), np.float32), np.zeros((2, 3), np.float32))
    assert lora.product_gram([]) == []
    assert lora.product_gram([[], []]) == [[0, 0], [0, 0]]
    assert lora.product_gram([[zero], [zero]]) == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    "clients",
    [
        [factors(1)[0], factors(1)[0][:2]],
        [factors(1)[0], factors(1, d=41)[0]],
        [factors(1)[0], factors(1, k=31)[0]],
        [[(np.ones((3, 2), np.float32), np.ones((3, 2), np.float32))]],
        [[(np.ones(3, np.float32), np.ones((3, 2), np.float32))]],
        [[(np.ones((3, 0), np.float32), np.ones((0, 2), np.float32))]],
    ],
)
def test_factors_must_match(clients):
    with pytest.raises(AggregationError):
        lora.product_gram(clients)


def test_not_finite_is_refused():
    u, v = factors(1, 1)[0][0]
    u[0, 0] = np.nan
    with pytest.raises(UpdateRejected):
        lora.product_gram([[(u, v)]])
