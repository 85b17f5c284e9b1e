"""The page's own modules, called one by one in Chromium: the tree that draws, numbers for people, the figures behind charts."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from double import Double
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.e2e


@pytest.fixture
def scripts(page: Page, double: Double) -> Page:
    page.goto(double.url)
    page.locator("#main h1").wait_for()
    return page


def call(page: Page, module: str, function: str, *arguments: Any) -> Any:
    return page.evaluate(
        "async ([module, name, args]) => (await import(`/js/${module}.js`))[name](...args)",
        [module, function, list(arguments)],
    )


RANDOM_TREES = """async (rounds) => {
  const { h, render } = await import("/js/dom.js");
  let seed = 7;
  const random = (n) => { // mulberry32
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
  const some = (choices) => Object.fromEntries(Object.entries(choices).filter(() => random(2) === 0));
  const tree = (depth) => {
    if (depth === 0 || random(4) === 0) return ["text", `t${random(9)}`, null, false][random(4)];
    const isKeyed = random(2) === 0;
    const keys = [1, 2, 3, 4, 5, 6].map((key) => [random(1000), key]).sort(([a], [b]) => a - b).map(([, key]) => key);
    const children = Array.from({ length: random(6) }, (_, i) => {
      const child = tree(depth - 1);
      return isKeyed ? h(["p", "b"][random(2)], { key: keys[i], ...some({ class: ["x", null, "y"][random(3)] }) }, child) : child;
    });
    const attributes = some({ title: [null, "a", "b"][random(3)], hidden: random(2) === 0, lang: "en" });
    return h(["div", "ul", "span", "section"][random(4)], attributes, children);
  };
  const kept = document.createElement("div");
  for (let i = 0; i < rounds; i += 1) {
    const [first, last] = [[tree(4), tree(3)], tree(4)];
    render(kept, first);
    render(kept, last);
    const fresh = document.createElement("div");
    render(fresh, last);
    if (!kept.isEqualNode(fresh)) return `tree ${i}: ${kept.outerHTML} is not ${fresh.outerHTML}`;
  }
  return null;
}"""


def test_drawing_over_an_old_tree_gives_what_a_fresh_one_gives(scripts: Page) -> None:
    assert scripts.evaluate(RANDOM_TREES, 2_000) is None


def test_keyed_nodes_are_moved_and_handlers_stay_fresh(scripts: Page) -> None:
    found = scripts.evaluate("""async () => {
      const { h, render } = await import("/js/dom.js");
      const box = document.createElement("div");
      const heard = [];
      const draw = (keys, word) => render(box, keys.map((key) => h("button", { key, on: { click: () => heard.push(word + key) } }, key)));
      draw([1, 2, 3], "old");
      const [one, two, three] = box.children;
      draw([3, 4, 1], "new");
      three.click();
      return { same: box.children[0] === three && box.children[2] === one, gone: !box.contains(two), heard };
    }""")
    assert found == {"same": True, "gone": True, "heard": ["new3"]}


def test_hosts_are_mounted_updated_and_removed_once(scripts: Page) -> None:
    found = scripts.evaluate("""async () => {
      const { h, render } = await import("/js/dom.js");
      const box = document.createElement("div");
      const log = [];
      const note = (word) => () => log.push(word);
      const host = (n) => ({ mount: note(`mount${n}`), update: note(`update${n}`), remove: note(`remove${n}`) });
      render(box, h("section", null, h("i", { host: host(1) })));
      render(box, h("section", null, h("i", { host: host(2) })));
      render(box, h("p", null, "gone"));
      return log;
    }""")
    assert found == ["mount1", "update2", "remove2"]


def test_script_addresses_never_become_links(scripts: Page) -> None:
    found = scripts.evaluate("""async () => {
      const { h, render } = await import("/js/dom.js");
      const box = document.createElement("div");
      const addresses = ["javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", "#rounds/3"];
      render(box, addresses.map((href, key) => h("a", { key, href }, "x")));
      return [...box.children].map((a) => a.getAttribute("href"));
    }""")
    assert found == [None, None, None, "#rounds/3"]


@pytest.mark.parametrize(
    ("units", "digits", "shown"),
    [
        ("0", 1, "0.0"),
        ("90000000000000000000", 1, "90.0"),
        ("1999999999999999999", 1, "1.9"),  # cut, never rounded up
        ("123456789012345678901234567", 3, "123,456,789.012"),  # beyond what a float holds
        ("-1500000000000000000", 1, "−1.5"),
        (None, 1, "–"),
    ],
)
def test_amounts_are_exact(scripts: Page, units: str | None, digits: int, shown: str) -> None:
    assert call(scripts, "format", "cwt", units, digits) == shown


@pytest.mark.parametrize(
    ("function", "arguments", "shown"),
    [
        ("signed", [-1234], "−1,234"),
        ("signed", [0], "0"),
        ("percent", [243_908], "24.4 %"),
        ("score", [431_850], "0.4319"),
        ("scoreDelta", [-6_500], "−0.0065"),
        ("span", [151], "02:31"),
        ("span", [7_500], "2 h 05 min"),
        ("span", [200_000], "2 d 7 h"),
        ("span", [-5], "00:00"),
        ("roughly", [60], "1 minute"),
        ("ago", [100, 350], "4 min ago"),
        ("words", ["TOO_FEW_REVEALS"], "too few reveals"),
        ("sentence", ["WrongAttestation"], "Wrong attestation"),
        ("shortHash", ["0x1234567890abcdef1234"], "0x1234…1234"),
    ],
)
def test_numbers_for_people(scripts: Page, function: str, arguments: list[Any], shown: str) -> None:
    assert call(scripts, "format", function, *arguments) == shown


@pytest.mark.parametrize(
    ("ticks", "digits"), [([0, 1], 0), ([0.2, 0.3], 1), ([0.175, 0.2], 3), ([0.36, 0.365], 3), ([5], 0)]
)
def test_ticks_are_written_exactly(scripts: Page, ticks: list[float], digits: int) -> None:
    assert call(scripts, "charts/metric", "decimals", ticks) == digits


def test_the_lorenz_curve_agrees_with_the_gini_of_the_snapshot(scripts: Page, double: Double) -> None:
    power = double.snapshot["power"]
    weights = [int(entry["votes"]) / 1e18 for entry in power["delegates"]]
    points = call(scripts, "charts/power", "lorenz", weights)
    assert points[0] == [0, 0]
    assert points[-1] == pytest.approx([100, 100])
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(points)) / 1e4
    gini = 1 - 2 * area
    assert gini == pytest.approx(power["gini_ppm"] / 1e6, abs=2e-6)
    assert call(scripts, "charts/power", "lorenz", [0, 0]) == [[0, 0], [50, 0], [100, 0]]


def test_lineage_puts_second_children_on_lanes_of_their_own(scripts: Page) -> None:
    releases = [{"number": n, "parent": parent} for n, parent in ((1, 0), (2, 1), (3, 1), (4, 2), (5, 3), (6, 0))]
    found = scripts.evaluate(
        "async (r) => { const { places, lanes } = (await import('/js/charts/lineage.js')).layout(r);"
        " return [lanes, Object.fromEntries([...places].map(([n, p]) => [n, p.lane]))]; }",
        releases,
    )
    assert found == [3, {"1": 0, "2": 0, "3": 1, "4": 0, "5": 1, "6": 2}]


def test_descriptions_become_blocks_and_nothing_else(scripts: Page) -> None:
    found = scripts.evaluate("""async () => {
      const [{ render }, { prose }] = [await import("/js/dom.js"), await import("/js/views/prose.js")];
      const box = document.createElement("div");
      const table = "| a | b |\\n|---|---|\\n| 1 | 2 |\\n";
      const proposer = `#proposer=0x${"0".repeat(40)}`;
      render(box, prose(`# Title\\n\\nTwo\\nlines <b>&amp;</b>\\n- one\\n- two\\n${table}${proposer}`));
      return [...box.querySelectorAll("p, li, th, td, b")].map((e) => `${e.tagName} ${e.textContent}`);
    }""")
    assert found == ["P Title", "P Two\nlines <b>&amp;</b>", "LI one", "LI two", "TH a", "TH b", "TD 1", "TD 2"]


def test_a_large_community_is_drawn_quickly(page: Page, double: Double) -> None:
    """300 rounds and 120 members: a new block costs a fraction of what drawing everything costs."""
    shot = double.snapshot
    members = [shot["members"][i % 8] | {"address": f"0x{i:040x}"} for i in range(120)]
    rounds = [shot["rounds"][i % 5] | {"number": i + 1} for i in range(300)]
    cells = [
        {
            "member": m["address"],
            "round": r["number"],
            "index": i,
            "status": "ACCEPTED",
            "gain": 9,
            "weight": 9,
            "reward": None,
            "credit": "9",
        }
        for r in rounds
        for i, m in enumerate(members)
    ]
    shot |= {"members": members, "rounds": rounds}
    shot["contributions"] = {
        "members": [m["address"] for m in members],
        "rounds": [r["number"] for r in rounds],
        "cells": cells,
        "totals": [],
    }
    page.goto(f"{double.url}/#members")
    page.locator(".heat").wait_for()
    expect(page.locator(".heat tbody tr")).to_have_count(120)
    assert page.locator(".heat tbody td.cell").count() == 120 * 40  # the newest 40 rounds
    block, everything = page.evaluate("""async () => {
      const { replaceSections, get } = await import("/js/state.js");
      const times = [];
      for (let i = 0; i < 5; i += 1) {
        const begun = performance.now();
        replaceSections({ head: { ...get().snapshot.head, block: 1000 + i } });
        await Promise.resolve();
        await Promise.resolve();
        times.push(performance.now() - begun);
      }
      const begun = performance.now();
      replaceSections({ contributions: structuredClone(get().snapshot.contributions), members: [...get().snapshot.members] });
      await Promise.resolve();
      await Promise.resolve();
      return [Math.min(...times), performance.now() - begun];
    }""")
    expect(page.locator(".block")).to_have_text("block 1004")
    assert block < everything / 4, (block, everything)
    assert everything < 3_000, everything
