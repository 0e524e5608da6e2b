"""The study for people: tables in the terminal, and a page with plots and transcripts."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.sim_to_real import plots
from benchmarks.sim_to_real.analysis import DECLARED
from dialogue_gym.reports import Section, lines, page, text_table

Rows = list[tuple[str, ...]]
_SCORES = ("arm", "reward under the reference [95 %]", "under its own user", "gap", "|gap|", "asks", "turns")
_CONTRASTS = ("contrast", "difference", "t over seeds [95 %]", "bootstrap [95 %]", "p")
_BEHAVIOUR = ("arm", "turns", "agent's words", "user's words", "asks", "unscored", "policies that count")
_BUDGET = (
    "arm",
    "updates",
    "policy tokens",
    "user calls",
    "user tokens",
    "look-ahead tokens",
    "CPU s",
    "wall s",
    "CPU s before",
    "logged dialogues with the reference",
)
_SPENT = ("cpu_seconds", "wall_seconds", "cpu_seconds_before", "logged_dialogues")
_RANKS = ("user", "all policies [95 %]", "within a seed")
_READING = (
    "Scripted people, generated tasks and a tiny model make a toy; its figures are called so. The primary "
    "figure is the reward under the reference user, whom only the oracle has trained with. Intervals of "
    "scores resample dialogues and seeds, each of which has a reference population of its own.",
    "Gap: the score under the user of training minus that under the reference, on the first of these tasks "
    "(see user_dialogues below), which both users meet. A user who makes it easy has a large positive one. "
    "Which of the policies along a training counts is decided by its own user, on other tasks; the reference "
    "has no say in it.",
)


def terminal(result: Mapping[str, Any]) -> str:
    """The main tables as plain text, and what may be said of the declared contrast."""
    parts = [
        f"{result['settings']['env']}, {result['settings']['seeds']} seeds, {result['where']}",
        lines(_SCORES, score_rows(result)),
        lines(_CONTRASTS, _contrast_rows(result)),
    ]
    if result["divergence"]:
        parts.append(lines(_divergence_columns(result), divergence_rows(result)))
    if result["ranks"]:
        parts.append(lines(_RANKS, _rank_rows(result)))
    return "\n\n".join([*parts, result["verdict"]])


def markdown(result: Mapping[str, Any]) -> str:
    """The same tables, and each seed's scores, for a page of results."""
    seeds = range(
        result["settings"]["first_seed"], result["settings"]["first_seed"] + result["settings"]["seeds"]
    )
    by_seed = [
        (arm, *(f"{x:.3f}" for x in found["reference"]["by_seed"])) for arm, found in result["arms"].items()
    ]
    parts = [
        f"{result['settings']['env']}, {len(seeds)} seeds. {result['verdict']}",
        f"```\n{result['run']['command']}\n```",
        _bars(_SCORES, score_rows(result)),
        _bars(("by seed", *map(str, seeds)), by_seed),
        _bars(_CONTRASTS, _contrast_rows(result)),
    ]
    if result["divergence"]:
        parts.append(_bars(_divergence_columns(result), divergence_rows(result)))
    if result["realism"]:
        parts.append(_bars(_realism_columns(result), _realism_rows(result)))
    if result["ranks"]:
        parts.append(_bars(_RANKS, _rank_rows(result)))
    parts += [_bars(_BEHAVIOUR, _behaviour_rows(result)), _bars(_BUDGET, _budget_rows(result))]
    about = [f"{name}: {value}" for name, value in result["run"].items() if name != "command"]
    return "\n\n".join([*parts, "; ".join(about)]) + "\n"


def _bars(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    every = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in every)


def to_html(result: Mapping[str, Any], transcripts: Mapping[str, str]) -> str:
    """One self-contained page.

    Args:
        result: what the study found.
        transcripts: by arm, a dialogue on the same task.
    """
    scores = [plots.scores(result), plots.curves(result)]
    sections = [
        Section(text=[*_READING, result["verdict"]]),
        Section("Scores", table=text_table(_SCORES, score_rows(result)), plots=scores),
        Section("Contrasts", [_about_contrasts()], text_table(_CONTRASTS, _contrast_rows(result))),
        *_users(result),
        Section("Behaviour with the reference", table=text_table(_BEHAVIOUR, _behaviour_rows(result))),
        Section("What training cost, a seed", table=text_table(_BUDGET, _budget_rows(result))),
        Section("One task, each arm", table=text_table(("arm", "dialogue"), list(transcripts.items()))),
        Section("How this came about", table=text_table(("what", "is"), _about(result))),
    ]
    return page("From simulated users to the reference", sections)


def _about_contrasts() -> str:
    return (
        f"{DECLARED[0]} against {DECLARED[1]} was declared in advance; the p values of all others are "
        "Holm-corrected together. The t-interval pairs seeds, the bootstrap resamples seeds and dialogues."
    )


def _users(result: Mapping[str, Any]) -> list[Section]:
    """How far training users are from the reference, and what follows for ranking."""
    made = []
    if result["divergence"]:
        text = (
            "KL(reference || user) of each turn in nats, plus or minus the standard error over seeds, in "
            "dialogues of the reference with the base policy and with each policy that the user trained. The "
            "reference's likelihood is exact; the user's is that of a text's usual tokens, while others can "
            "spell it too, so that divergences come out slightly too large."
        )
        rows = text_table(_divergence_columns(result), divergence_rows(result))
        made.append(Section("Divergence of training users", [text], rows, [plots.divergence(result)]))
    if result["realism"]:
        text = (
            "Metrics that follow the exact divergence (see docs/calibration.md), means over seeds; people "
            "are two halves of the reference's own dialogues."
        )
        made.append(
            Section(
                "Realism of training users",
                [text],
                text_table(_realism_columns(result), _realism_rows(result)),
            )
        )
    if result["ranks"]:
        text = (
            "Spearman's rank correlation between the scores of policies under a training user and under the "
            "reference: over all arms, policies and seeds together, seeds resampled; and the mean of seeds."
        )
        rows = text_table(_RANKS, _rank_rows(result))
        made.append(
            Section("Do users rank policies as the reference does?", [text], rows, [plots.ranks(result)])
        )
    return made


def interval(found: Mapping[str, Any], sign: str = "") -> str:
    """A mean with its interval.

    Example:
        >>> interval({"mean": 0.5, "low": 0.25, "high": 0.75}, "+")
        '+0.500 [+0.250, +0.750]'
    """
    return f"{found['mean']:{sign}.3f} [{found['low']:{sign}.3f}, {found['high']:{sign}.3f}]"


def score_rows(result: Mapping[str, Any]) -> Rows:
    """The main table."""
    return [
        (
            arm,
            interval(found["reference"]),
            f"{found['own']['mean']:.3f}" if found["own"] else "-",
            interval(found["gap"], "+") if found["gap"] else "-",
            f"{found['absolute_gap']:.3f}" if found["gap"] else "-",
            _number(found["ask_rate"], ".2f"),
            _number(found["turns"], ".1f"),
        )
        for arm, found in result["arms"].items()
    ]


def _number(found: Mapping[str, Any] | None, form: str) -> str:
    return "-" if found is None else format(found["mean"], form)


def _contrast_rows(result: Mapping[str, Any]) -> Rows:
    return [
        (
            f"{c['arm']} - {c['against']}" + (" (declared)" if c["declared"] else ""),
            f"{c['difference']:+.3f}",
            f"[{c['t_low']:+.3f}, {c['t_high']:+.3f}]" if c["p"] is not None else "-",
            f"[{c['low']:+.3f}, {c['high']:+.3f}]",
            _p_value(c["p"]),
        )
        for c in result["contrasts"]
    ]


def _p_value(p: float | None) -> str:
    return "-" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _divergence_columns(result: Mapping[str, Any]) -> tuple[str, ...]:
    found = next(iter(result["divergence"].values()))
    names = ["base policy", *(f"policy {row['checkpoint']}" for row in found[1:])]
    return ("user, nats a turn", *names)


def divergence_rows(result: Mapping[str, Any]) -> Rows:
    """Nats a turn by training user and policy."""
    return [(user, *(_plus_minus(row) for row in found)) for user, found in result["divergence"].items()]


def _plus_minus(row: Mapping[str, Any]) -> str:
    return f"{row['per_turn']:.2f}" + ("" if row["error"] is None else f" ± {row['error']:.2f}")


def _rank_rows(result: Mapping[str, Any]) -> Rows:
    return [
        (
            user,
            _correlation(r),
            "-" if r["within"] is None else f"{r['within']:.2f}",
        )
        for user, r in result["ranks"].items()
    ]


def _correlation(found: Mapping[str, float | None]) -> str:
    if found["all"] is None:
        return "-"
    return f"{found['all']:.2f}" + (
        "" if found["low"] is None else f" [{found['low']:.2f}, {found['high']:.2f}]"
    )


def _realism_columns(result: Mapping[str, Any]) -> tuple[str, ...]:
    return ("metric", "people", *result["realism"])


def _realism_rows(result: Mapping[str, Any]) -> Rows:
    tables = list(result["realism"].values())
    return [
        (figures[0]["metric"], _plain(figures[0]["people"]), *(_plain(f["simulator"]) for f in figures))
        for figures in zip(*tables, strict=True)
    ]


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _behaviour_rows(result: Mapping[str, Any]) -> Rows:
    return [
        (
            arm,
            _number(found["turns"], ".2f"),
            _number(found["words_per_agent_turn"], ".1f"),
            _number(found["words_per_user_turn"], ".1f"),
            _number(found["ask_rate"], ".2f"),
            f"{found['unscored']:.3f}",
            ", ".join(f"number {c}: {n}" for c, n in sorted(found["chosen"].items())),
        )
        for arm, found in result["arms"].items()
    ]


def _budget_rows(result: Mapping[str, Any]) -> Rows:
    names = ("updates", "policy_tokens", "user_calls", "user_tokens", "look_ahead_tokens")
    return [
        (arm, *(f"{found['budget'][name]:,.0f}" for name in (*names, *_SPENT)))
        for arm, found in result["arms"].items()
        if found["budget"]
    ]


def _about(result: Mapping[str, Any]) -> Rows:
    run = [(name, str(value)) for name, value in result["run"].items()]
    return [*run, *((name, str(value)) for name, value in result["settings"].items())]
