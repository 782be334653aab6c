"""The scheduler of a grid's jobs: each is found finished, taken over from an interrupted command, or computed, once.

Several processes may work on one grid. Each job is claimed by one of them; the others continue with other jobs, and wait at the
end for those that another process has claimed.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from tokenviz.base.progress import note, task, warn
from tokenviz.harness.deliveries import Deliveries, Drawers
from tokenviz.harness.kind import Job, Outcome, Run
from tokenviz.harness.session import Session
from tokenviz.records.run import WaitingRun
from tokenviz.tracking.outbox import Claim
from tokenviz.tracking.provenance import redacted
from tokenviz.tracking.runs import FinishedRun
from tokenviz.tracking.staged_runs import RunRecord, StagedRun

T = TypeVar("T")
R = TypeVar("R", bound=Run)
J = TypeVar("J", bound=Job[Any, Any])


class Scheduler:
    """Runs the jobs of one grid."""

    def __init__(self, session: Session) -> None:
        """Keep the grid's session, and close the runs that ended processes left open."""
        self._session, self._runs = session, session.runs
        self._begun = _now()
        self.drawers = Drawers()
        self._runs.begin()

    def do(self, jobs: Sequence[Job[T, R]], description: str, unit: str) -> list[R]:
        """Finish every job.

        Args:
            jobs: The jobs; those that need one model are consecutive.
            description: What is being done, for the user.
            unit: The plural noun for a job.

        Returns:
            One run per job, in their order.

        Raises:
            TokenvizError: Something cannot be computed or stored; what was finished before stays.
        """
        self._runs.store.answers()  # a server may be back, with runs that are finished already
        outcomes: dict[int, Outcome[T]] = {}
        with (
            self._runs.connected(),
            task(description, len(jobs), unit) as advance,
            Deliveries(self._runs, self.drawers, expected=len(jobs)) as deliveries,
        ):
            left = list(range(len(jobs)))
            for wait in (False, True):
                for i in left:
                    outcome = self._do(jobs[i], deliveries, wait=wait)
                    if outcome is not None:
                        outcomes[i] = outcome
                        advance(1)
                left = [i for i in left if i not in outcomes]
                if left and not wait:
                    note(f"another process is at work on {len(left)} of the {unit}: waiting for it")
        return [job.run(outcomes[i]) for i, job in enumerate(jobs)]

    def unfinished(self, jobs: Sequence[J]) -> list[J]:
        """Return the jobs whose results are neither in the store nor in the outbox."""
        self._runs.store.answers()
        outbox, name = self._runs.outbox, self._runs.name
        return [job for job in jobs if self._finished(job) is None and outbox.staged(name, job.fingerprint) is None]

    def _do(self, job: Job[T, R], deliveries: Deliveries, *, wait: bool) -> Outcome[T] | None:
        """Finish one job; return None where another process has claimed it."""
        outbox, name = self._runs.outbox, self._runs.name
        found = self._finished(job)
        if found is not None and not outbox.holds(name, job.fingerprint):
            return Outcome(found, None, None)
        claim = outbox.claim(name, job.fingerprint, wait=wait)
        if claim is None:
            return None if found is None else Outcome(found, None, None)
        try:
            found = self._finished(job)  # it may have been finished in the meantime
            taken = self._take_over(job, claim)
            if found is not None and taken is None:
                claim.release()
                return Outcome(found, None, None)
            staged, result = taken or self._make(job, claim)
            drawing = job.draw(result) if job.has_figures and not staged.drawn else None
        except BaseException:
            claim.release()
            raise
        return Outcome(None, deliveries.add(claim, staged, drawing), result)

    def _finished(self, job: Job[T, R]) -> FinishedRun | None:
        found = self._runs.find(job.fingerprint)
        if found is None or not self._wanted(job, found.tags, found.started) or not job.holds(found):
            return None
        if not self._runs.intact(found, job.table):
            warn(f"run {found.run_id} ({job.name}) has lost its table {job.table}: it is computed again")
            return None
        self._runs.join_grid(found, self._session.grid)
        return found

    def _wanted(self, job: Job[T, R], tags: Mapping[str, str], started: int) -> bool:
        """Return whether a computation counts: with --force, only one that began after this command did."""
        return job.tags.items() <= tags.items() and (not self._session.experiment.force or started >= self._begun)

    def _take_over(self, job: Job[T, R], claim: Claim) -> tuple[StagedRun, T] | None:
        """Return what an interrupted command has computed already, now for this grid as well as for its own."""
        staged = claim.left_over()
        if staged is None or not self._wanted(job, staged.record.tags, staged.record.started):
            return None
        grids = dict.fromkeys([*staged.record.grid.split(), self._session.grid])
        record = replace(staged.record, grid=" ".join(grids))
        if not staged.drawn:  # then this command draws it, perhaps with other limits
            tags = {name: value for name, value in record.tags.items() if name != "limits"}
            record = replace(record, tags={**tags, **self._session.drawn})
        return replace(staged, record=record), job.read(WaitingRun.of(staged, self._runs))

    def _make(self, job: Job[T, R], claim: Claim) -> tuple[StagedRun, T]:
        started = _now()
        result = job.compute()
        replaces = self._session.experiment.force or self._runs.find(job.fingerprint) is not None

        def fill(files: Path) -> RunRecord:
            content = job.write(result, files)
            self._session.provenance.write(files)
            return RunRecord(
                experiment=self._runs.name,
                description=self._runs.description,
                name=job.name,
                fingerprint=job.fingerprint,
                grid=self._session.grid,
                tags={"kind": job.kind, **job.tags, **content.tags, **self._session.provenance.tags, **self._session.drawn},
                context=self._session.provenance.context,
                params=redacted({**content.params, **self._session.provenance.params}),
                metrics=content.metrics,
                curves=content.curves,
                note=content.note,
                dataset=content.dataset,
                pages=content.pages,
                figures=job.has_figures,
                table=job.table,
                refers=job.refers,
                started=started,
                ended=_now(),
                replaces=replaces,
            )

        return claim.pack(fill), result


def _now() -> int:
    return int(time.time() * 1000)
