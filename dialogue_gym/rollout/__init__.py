"""Play a policy against environments; trajectories and evaluation."""

from dialogue_gym.rollout.base import Policy, PolicyReply, PolicyRequest, Trajectory
from dialogue_gym.rollout.concurrency import suited_concurrency
from dialogue_gym.rollout.evaluation import (
    Comparison,
    Estimate,
    Evaluation,
    asked_for_held,
    compare,
    evaluate,
    summarise,
)
from dialogue_gym.rollout.loading import load_policy, make_vector_env
from dialogue_gym.rollout.play import play
from dialogue_gym.rollout.policies import LanguageModelPolicy
from dialogue_gym.rollout.rules import RulePolicy
from dialogue_gym.rollout.text_policy import TextPolicy
from dialogue_gym.rollout.transcripts import show

__all__ = [
    "Comparison",
    "Estimate",
    "Evaluation",
    "LanguageModelPolicy",
    "Policy",
    "PolicyReply",
    "PolicyRequest",
    "RulePolicy",
    "TextPolicy",
    "Trajectory",
    "asked_for_held",
    "compare",
    "evaluate",
    "load_policy",
    "make_vector_env",
    "play",
    "show",
    "suited_concurrency",
    "summarise",
]
