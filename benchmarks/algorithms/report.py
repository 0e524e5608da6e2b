"""The comparison for people: tables in the terminal, and a page with plots."""

from collections.abc import Mapping
from typing import Any

from benchmarks.algorithms.collect import FEW_SEEDS
from dialogue_gym.reports import Plot, Section, figure, lines, page, plot, text_table

Rows = list[tuple[str, ...]]
Result = Mapping[str, Any]
COLOURS = {"words": "#0072b2", "acts": "#d55e00", "other": "#777777"}
_SCORES = ("algorithm", "writes", "IQM of rewards [95 %]", "mean")
_BOUNDS = ("user_calls", "policy_tokens")
_COST = (
    "algorithm",
    "environment",
    *(f"{n.replace('_', ' ')} [of bound]" for n in _BOUNDS),
    "CPU s",
    "wall s",
)
_READING = (
    "Every algorithm trains with the reference user on training tasks, or on a log of the base policy with "
    "that user, under two bounds: messages of users (those in the log count) and policy tokens with loss "
    "(each counted at every pass). Learners that play go on until the next rollout could pass one of them; "
    "those that imitate make a few passes over a log that has cost the calls. Each run is judged as the "
    "study judges: held-out tasks, the reference as the user.",
    "Algorithms that write words train the language model. Those that choose acts leave the words, the "
    "reading and the arithmetic to a program that knows the procedural tasks: rewards of the two groups "
    "cannot be compared. base and rule are not trained: where words begin, and rules that ask for every "
    "missing fact whatever turns are left, a yardstick and no upper bound.",
    "IQM: the mean of the middle half of runs and environments. Intervals: stratified bootstrap over runs; "
    "better than: the probability that a run of one is better than one of the other, ties one half. All "
    "three are the definitions of rliable (Agarwal et al. 2021).",
)


def warning(result: Result) -> str:
    """What must be said before anything is read off; "" where nothing must."""
    seeds = result["settings"]["seeds"]
    toy = "A toy: the shipped tiny model, procedural tasks, scripted users. " if _is_toy(result) else ""
    if seeds >= FEW_SEEDS:
        return toy.strip()
    return toy + f"{seeds} of at least {FEW_SEEDS} seeds: too few for a claim; intervals are too narrow."


def _is_toy(result: Result) -> bool:
    return bool(result["settings"]["policy"] == "tiny")


def terminal(result: Result) -> str:
    """The tables as plain text."""
    columns, rows = score_table(result)
    parts = [warning(result), lines(columns, rows)]
    parts += [lines(*table) for table in better_tables(result).values()]
    parts.append(lines(_COST, cost_rows(result)))
    return "\n\n".join(part for part in parts if part)


def score_table(result: Result) -> tuple[tuple[str, ...], Rows]:
    """Columns and rows of the main table; environments apart where there are several."""
    envs = result["settings"]["envs"]
    each = envs if len(envs) > 1 else []
    rows = [
        (
            name,
            found["group"],
            _interval(found["all"], "iqm"),
            f"{found['all']['mean']:.3f}",
            *(_interval(found["by_env"][env], "iqm") for env in each),
        )
        for name, found in result["algorithms"].items()
    ]
    return (*_SCORES, *each), rows


def better_tables(result: Result) -> dict[str, tuple[tuple[str, ...], Rows]]:
    """By group: how likely a run of the row's algorithm is better than one of the column's."""
    tables = {}
    for group in dict.fromkeys(found["group"] for found in result["algorithms"].values()):
        names = [n for n, found in result["algorithms"].items() if found["group"] == group]
        if len(names) > 1:
            rows = [
                (a, *("" if a == b else _interval(result["better"][a][b], "p", ".2f") for b in names))
                for a in names
            ]
            tables[group] = (("better than", *names), rows)
    return tables


def cost_rows(result: Result) -> Rows:
    """What training cost, a run."""
    return [
        (
            name,
            env,
            *(f"{cost[bound]:,.0f} [{cost[bound] / result['settings'][bound]:.0%}]" for bound in _BOUNDS),
            f"{cost['cpu_seconds']:.0f}",
            f"{cost['wall_seconds']:.0f}",
        )
        for name, found in result["algorithms"].items()
        for env, cost in found["cost"].items()
    ]


def _interval(found: Mapping[str, Any], middle: str, form: str = ".3f") -> str:
    interval = "" if found["low"] is None else f" [{found['low']:{form}}, {found['high']:{form}}]"
    return f"{found[middle]:{form}}{interval}"


def to_html(result: Result) -> str:
    """One self-contained page."""
    settings = result["settings"]
    bounds = (
        f"The bounds: {settings['user_calls']:,} user calls, {settings['policy_tokens']:,} policy tokens."
    )
    better = [
        Section(f"Better than, {group}", table=text_table(*table), plots=[better_plot(result, group)])
        for group, table in better_tables(result).items()
    ]
    about = [(name, str(value)) for name, value in [*result["run"].items(), *settings.items()]]
    sections = [
        Section(text=[text for text in (warning(result), *_READING, bounds) if text]),
        Section("Rewards", table=text_table(*score_table(result)), plots=reward_plots(result)),
        *better,
        Section("What training cost, a run", table=text_table(_COST, cost_rows(result))),
        Section("How this came about", table=text_table(("what", "is"), about)),
    ]
    return page("Algorithms for dialogue under equal budgets", sections)


def reward_plots(result: Result) -> list[Plot]:
    """Interquartile means with intervals and the runs behind them, an environment a plot."""
    return [_rewards(result, env) for env in result["settings"]["envs"]]


def _rewards(result: Result, env: str) -> Plot:
    drawn = rewards_figure(result, env)
    return plot(drawn, f"rewards in {env} by algorithm, interquartile means with intervals and runs")


def rewards_figure(result: Result, env: str) -> Any:
    """A row an algorithm, the first on top."""
    algorithms = result["algorithms"]
    drawn = figure(5.4, 0.8 + 0.28 * len(algorithms))
    axes = drawn.add_subplot()
    for i, found in enumerate(algorithms.values()):
        colour, here = COLOURS[found["group"]], found["by_env"][env]
        axes.plot(here["by_seed"], [i] * len(here["by_seed"]), "|", color="#777777", markersize=7)
        if here["low"] is not None:
            axes.plot([here["low"], here["high"]], [i, i], color=colour, linewidth=2)
        axes.plot([here["iqm"]], [i], "o", color=colour)
    for group in dict.fromkeys(found["group"] for found in algorithms.values()):
        axes.plot([], [], "o-", color=COLOURS[group], label=group)
    axes.set_yticks(range(len(algorithms)), list(algorithms))
    axes.set_ylim(len(algorithms) - 0.4, -0.6)  # room for whole markers, however few rows there are
    axes.set_xlabel(f"reward in {env}: interquartile mean, 95 %, runs")
    axes.grid(axis="x", color="0.9")
    axes.legend(frameon=False, fontsize=8)
    return drawn


def better_plot(result: Result, group: str) -> Plot:
    """Probabilities of improvement within a group, as colours."""
    names = list(better_tables(result)[group][0][1:])
    table = [[0.5 if a == b else result["better"][a][b]["p"] for b in names] for a in names]
    drawn = figure(1.6 + 0.42 * len(names), 1.2 + 0.36 * len(names))
    axes = drawn.add_subplot()
    image = axes.imshow(table, vmin=0, vmax=1, cmap="PuOr_r")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    drawn.colorbar(image, label="row better than column")
    return plot(drawn, f"probability that a run of the row is better than one of the column, {group}")
