"""The realism reward: a calibrated user learns to say what a discriminator takes for people's.

The reward of a reply is the log odds ``r`` that people, and not the simulator, said it in that context. The
policy that maximises ``E[r] - beta KL(policy || simulator)`` is ``simulator * exp(r / beta) / Z`` (Rafailov
et al. 2023, 2305.18290, equation 4). A Bayes-optimal discriminator has ``exp(r) = people / simulator``, so
at ``beta = 1`` that policy is people's distribution itself, and a smaller beta overshoots: it prefers what
marks people out to what people say. DPO reaches the optimum of pairs that were labelled by the Bradley-Terry
model, so a pair counts both ways, with ``sigmoid(r1 - r2)`` and the rest: the expectation over drawn labels
without their noise. Always taking the better reply would act like a much larger reward.

Replies are scored by discriminators that have not seen their dialogue (cross-fitting), in rounds as in
DIAL (2512.20773): each samples from the last accepted user and trains a new discriminator against it. What
a round gave is judged on held-out dialogues by a fresh discriminator, and refused where people's turns
become less likely or diversity falls.
"""

from dialogue_gym.calibration.realism_reward.improving import Improvement, improve
from dialogue_gym.calibration.realism_reward.judging import Standing, judge
from dialogue_gym.calibration.realism_reward.settings import RewardSettings

__all__ = ["Improvement", "RewardSettings", "Standing", "improve", "judge"]
