"""Reading the tables of many runs of one store; tables that several runs share are read once."""

from tokenviz.errors import StoreError
from tokenviz.records.run import BY_PARTS, RecordedRun, StoredRun
from tokenviz.records.tables import read_sample, read_scores
from tokenviz.scores import TokenScores
from tokenviz.tracking.finding import FoundRun, find_runs
from tokenviz.tracking.store import Store


class Reader:
    """Reads runs of a store. Token tables stay in memory until `let_go`; reading text by text needs least memory."""

    def __init__(self, store: Store) -> None:
        """Keep the store; nothing is read yet.

        Args:
            store: The runs' store.
        """
        self.store = store
        self._scores: dict[str, TokenScores] = {}

    def recorded(self, run: FoundRun) -> StoredRun:
        """Return a run as a recorded run."""
        return StoredRun.of(run, self.store)

    def scores(self, run_id: str, run: RecordedRun) -> TokenScores:
        """Read the token table of a score run.

        Args:
            run_id: MLflow's id of the run.
            run: The run.

        Raises:
            StoreError: The table is missing or damaged, as in `read_scores`.
        """
        if run_id not in self._scores:
            self._scores[run_id] = read_scores(run)
        return self._scores[run_id]

    def sample(self, run_id: str, run: RecordedRun) -> TokenScores:
        """Read what the figures of a score run show; see `read_sample`.

        Args:
            run_id: Id of the run.
            run: The run as it was recorded.

        Raises:
            StoreError: The run has no such table, or another than was recorded.
        """
        return read_sample(run) if BY_PARTS in run.params else self.scores(run_id, run)

    def scores_beside(self, run: FoundRun, *, same_model: bool) -> tuple[FoundRun, TokenScores]:
        """Find a score run of a run's text, for a run without a token table.

        Args:
            run: The run; its parameters name the text and the model.
            same_model: Whether the scores must be by the run's model.

        Returns:
            The newest such run of its experiment, and its table.

        Raises:
            StoreError: There is no such run, or its table is missing or damaged.
        """
        wanted = ("text_sha256", *(("model", "identity") if same_model else ()))
        for other in find_runs(run.experiment, where="kind=score", store=self.store):
            if all(other.params.get(name) == run.params.get(name) for name in wanted):
                return other, self.scores(other.run_id, self.recorded(other))
        by = f" by the model {run.params.get('model')!r}" if same_model else ""
        raise StoreError(
            f"no score run of the experiment {run.experiment!r} holds the text {run.params.get('text')!r} of run "
            f"{run.run_id}{by}: repeat '{run.tags.get('command', 'its command')} --force' and compare the runs"
        )

    def let_go(self) -> None:
        """Free the tables in memory."""
        self._scores = {}
