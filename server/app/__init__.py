"""The composition root: the only room that names concrete classes and puts them together. Decides nothing else."""

from server.app.knowledge import KNOWLEDGE_FOLDER
from server.app.serving import Serving, run

__all__ = ["KNOWLEDGE_FOLDER", "Serving", "run"]
