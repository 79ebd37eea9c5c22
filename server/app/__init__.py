"""The composition root: the only room that names concrete classes and puts them together. Decides nothing else."""

from server.app.serving import KNOWLEDGE_FOLDER, Serving, run

__all__ = ["KNOWLEDGE_FOLDER", "Serving", "run"]
