"""Tasks: what a dialogue is about, and where tasks come from."""

from dialogue_gym.tasks.base import (
    SPLITS,
    Brief,
    Fact,
    Kind,
    Reference,
    Task,
    TaskSource,
    task_from_dict,
    task_sources,
    task_to_dict,
)
from dialogue_gym.tasks.documents import ProceduralDocuments
from dialogue_gym.tasks.jsonl import JsonLinesTasks
from dialogue_gym.tasks.math import ProceduralMath
from dialogue_gym.tasks.medium import medium_articles
from dialogue_gym.tasks.pieces import Pieces
from dialogue_gym.tasks.reasoning import ReasoningGymTasks
from dialogue_gym.tasks.sets import document_table, math_table
from dialogue_gym.tasks.tables import TableTasks

__all__ = [
    "SPLITS",
    "Brief",
    "Fact",
    "JsonLinesTasks",
    "Kind",
    "Pieces",
    "ProceduralDocuments",
    "ProceduralMath",
    "ReasoningGymTasks",
    "Reference",
    "TableTasks",
    "Task",
    "TaskSource",
    "document_table",
    "math_table",
    "medium_articles",
    "task_from_dict",
    "task_sources",
    "task_to_dict",
]
