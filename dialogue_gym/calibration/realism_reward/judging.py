"""How a user stands against people, by fresh discriminators on dialogues that nothing has learned from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dialogue_gym.calibration.discriminator import Exchange, NgramDiscriminator, shown, two_sample_auc
from dialogue_gym.calibration.realism.speech import Speaker, two_speakers
from dialogue_gym.calibration.words import ngrams, words
from dialogue_gym.logs import DialogueRecord
from dialogue_gym.seeding import NoiseKey
from dialogue_gym.simulators.calibrated import CalibratedUser


@dataclass(frozen=True, slots=True)
class Standing:
    """What held-out dialogues say of a user.

    Attributes:
        auc: of fresh discriminators, on dialogues that they have not seen; 0.5 where nothing tells the
            user from people.
        nats: negative log-likelihood of people's turns, a turn.
        first_turn_distinct_2: distinct-2 of first turns (Li et al. 2016); NaN where the log shows none.
        distinct_2: distinct-2 of all turns.
    """

    auc: float
    nats: float
    first_turn_distinct_2: float
    distinct_2: float


def judge(
    user: CalibratedUser, records: Sequence[DialogueRecord], seed: int = 0, draws: int = 4
) -> tuple[Standing, dict[str, float]]:
    """How a user stands against the users of dialogues that it has not seen, and people's own diversity.

    The discriminators are new ones, and learn from these dialogues alone. The user answers ``draws`` times
    in each context, each time before new discriminators; figures are means, since a single draw of a few
    dozen dialogues moves an AUC by some hundredths.

    Raises:
        ValueError: fewer than two dialogues.
    """
    standings = []
    for draw in range(draws):
        people, simulated, _ = two_speakers(records, user, seed=NoiseKey(("judge", seed, draw)).seed())
        standings.append([_auc(people, simulated), _nats(simulated), *_diversity(simulated).values()])
    return Standing(*np.mean(standings, axis=0).tolist()), _diversity(people)


def _auc(people: Speaker, simulated: Speaker) -> float:
    sides = [_exchanges(people), _exchanges(simulated)]
    groups = [turn.logged.request.dialogue_id for turn in people.turns()]
    labels = np.repeat([1, 0], len(groups))
    return two_sample_auc(NgramDiscriminator(), sides[0] + sides[1], labels, groups * 2)


def _nats(simulated: Speaker) -> float:
    scored = [(turn.logged, turn.log_prob) for turn in simulated.turns() if turn.log_prob is not None]
    return -float(np.mean([p.total if logged.stop_counts else p.text for logged, p in scored]))


def _exchanges(speaker: Speaker) -> list[Exchange]:
    return [(turn.logged.request, shown(turn.logged, turn.reply)) for turn in speaker.turns()]


def _diversity(speaker: Speaker) -> dict[str, float]:
    turns = list(speaker.turns())
    return {
        "first_turn_distinct_2": _distinct([turn.text for turn in turns if turn.logged.is_opening]),
        "distinct_2": _distinct([turn.text for turn in turns]),
    }


def _distinct(texts: Sequence[str], n: int = 2) -> float:
    grams = [gram for text in texts for gram in ngrams(words(text), n)]
    return len(set(grams)) / len(grams) if grams else float("nan")
