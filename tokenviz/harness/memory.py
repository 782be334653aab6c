"""The models in memory: those that are wanted now, and no other beside them, since there may be no room for more."""

from collections.abc import Callable

from tokenviz.models.loading import LoadedModel


class Memory:
    """Loads models by their labels, and keeps those of the last call."""

    def __init__(self, load: Callable[[str], LoadedModel]) -> None:
        """Nothing is loaded yet.

        Args:
            load: Gives the model of a label.
        """
        self._load = load
        self._models: dict[str, LoadedModel] = {}

    def models(self, *labels: str) -> list[LoadedModel]:
        """Some models; others are dropped before any is loaded.

        Raises:
            TokenvizError: One cannot be had.
        """
        self._models = {label: model for label, model in self._models.items() if label in labels}
        for label in labels:
            if label not in self._models:
                self._models[label] = self._load(label)
        return [self._models[label] for label in labels]
