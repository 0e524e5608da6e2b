"""The result for people: lines of plain text, and a page with plots."""

from collections.abc import Sequence
from typing import Any

from benchmarks.compounding_shift import plots
from dialogue_gym.reports import Section, lines, page, text_table

_EXACT = (
    "chain",
    "shift",
    "error at H",
    "gap at H",
    "bound",
    "slope",
    "bound's",
    "slope, H 500..1000",
    "bound's",
)
_TINY = (
    "other process",
    "nats of history at H [95 %]",
    "error at H [95 %]",
    "at most, by nats",
    "summed gap at H [95 %]",
    "sum of errors",
    "bound",
    "slope",
    "bound's",
)
_READING = (
    "Exact: nothing is sampled. The dotted bound is that of the theorems in docs/compounding-shift.md: the "
    "shift times H (H + 1) / 2, or H (H - 1) / 2 for static contexts, where the deployed policy gives "
    "the last reply itself. Its slope tends to 2; on short horizons it is below 2 for the one, above for the "
    "other.",
    "2 is a bound, not a target: a dialogue that goes wrong once and for good attains it, one that recovers "
    "grows like H, and one reward at the end cannot lose more than 1.",
    "In the chain with recovery the error of whole histories goes on rising: what was said cannot be "
    "unsaid. What reward depends on, the state, levels out.",
)


def table(result: dict[str, Any]) -> str:
    """The figures as lines of plain text."""
    exact = result["exact"]
    parts = [_about(exact), lines(_EXACT, _exact_rows(exact)), *_others(exact)]
    if result["estimated"]:
        parts += ["", _about_tiny(result), lines(_TINY, _tiny_rows(result["estimated"]))]
    return "\n".join(parts)


def to_html(result: dict[str, Any]) -> str:
    """The figures as one self-contained page."""
    exact = result["exact"]
    sections = [
        Section(text=_READING),
        Section("Exact", [_about(exact)], text_table(_EXACT, _exact_rows(exact))),
        Section(plots=[plots.errors(chain, rows) for chain, rows in exact["chains"].items()]),
        Section(plots=[plots.gaps(chain, rows) for chain, rows in exact["chains"].items()]),
        Section(
            text=_others(exact),
            plots=[
                plots.last_rewards(exact["chains"], exact["saturating"]),
                plots.bound_used(exact["random"]),
            ],
        ),
    ]
    if result["estimated"]:
        sections.append(_estimated(result))
    sections.append(Section("Run", [f"{key}: {value}" for key, value in result["run"].items()]))
    return page("Compounding shift", sections)


def _estimated(result: dict[str, Any]) -> Section:
    curves = result["estimated"]["curves"]
    return Section(
        "Estimated in the tiny world, a toy",
        [_about_tiny(result)],
        text_table(_TINY, _tiny_rows(result["estimated"])),
        [
            plots.estimates("Divergence of each turn", "divergence", "nats", curves),
            plots.estimates("Divergence of histories", "cumulated", "nats", curves),
            plots.estimates("Error of each turn", "per_turn", "total variation", curves),
            plots.estimates("Error of histories", "error", "total variation", curves, "error_bound"),
            plots.estimates("Summed reward gap", "gap", "training minus deployment", curves),
            plots.error_sums(curves),
        ],
    )


def _about(exact: dict[str, Any]) -> str:
    rows = exact["chains"]["with recovery"]
    low, high = rows["policy"]["fitted_on"]
    return (
        f"exact: policy shift {rows['policy']['size']:g}, simulator shift {rows['simulator']['size']:g}, "
        f"recovery {rows['policy']['recovery']:g} where there is one, horizon H = {high}; slopes of ln gap "
        f"over ln H fitted on H = {low}..{high}"
    )


def _others(exact: dict[str, Any]) -> list[str]:
    large, random = exact["saturating"], exact["random"]
    chains = exact["chains"]
    far = max(row["closed_form_difference"] for rows in chains.values() for row in rows.values())
    last = "; ".join(
        f"shift {size:g}, {chain}: {abs(row['last_gap'][-1]):.3f}, slope {_number(row['exponent_of_last'])}"
        for chain in chains
        for size, row in (
            (chains[chain]["policy"]["size"], chains[chain]["policy"]),
            (large["size"], large[chain]),
        )
    )
    drawn = "; ".join(
        f"{shift} shift: slope {_range(random[shift]['exponents'])}, share of the bound used at H "
        f"{_range([row[-1] for row in random[shift]['used']])}, at most {random[shift]['largest_used']:.2f}"
        for shift in ("policy", "simulator")
    )
    return [
        f"largest difference from the closed forms: {far:.1e}",
        f"one reward on the last turn, gap at H: {last}",
        f"{random['processes']} random processes each, shift {random['size']:g}, median [95 %]: {drawn}",
    ]


def _about_tiny(result: dict[str, Any]) -> str:
    tiny = result["estimated"]
    low, high = next(iter(tiny["curves"].values()))["fitted_on"]
    going = ", ".join(f"{share:.0%}" for share in tiny["going_on"])
    return (
        f"tiny world (a toy): {result['settings']['tiny']['dialogues']} dialogues of the tiny policy with "
        f"the reference population, {tiny['mean_turns']:.1f} turns on average, at most {high}; share that "
        f"has each turn: {going}; slopes fitted on H = {low}..{high}"
    )


def _exact_rows(exact: dict[str, Any]) -> list[list[str]]:
    return [
        [
            chain,
            shift,
            f"{row['error'][-1]:.4f}",
            f"{abs(row['gap'][-1]):.4f}",
            f"{row['uniform_bound'][-1]:.4f}",
            *(_number(row[k]) for k in ("exponent", "exponent_of_bound", "limit", "limit_of_bound")),
        ]
        for chain, rows in exact["chains"].items()
        for shift, row in rows.items()
    ]


def _tiny_rows(tiny: dict[str, Any]) -> list[list[str]]:
    return [
        [
            name,
            _last(row["cumulated"]),
            _last(row["error"]),
            f"{row['divergence_bound'][-1]:.2f}",
            _last(row["gap"]),
            f"{row['error_sum'][-1]:.2f}",
            f"{row['gap_bound'][-1]:.2f}",
            _number(row["exponent_of_error_sum"]),
            _number(row["exponent_of_bound"]),
        ]
        for name, row in tiny["curves"].items()
    ]


def _last(curve: dict[str, list[float]]) -> str:
    return _range([curve[end][-1] for end in ("low", "mean", "high")])


def _range(values: Sequence[float]) -> str:
    low, middle, high = values
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
