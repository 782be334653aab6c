"""Data whose true statistics are known: two rows that depend on each other and on their own past."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter
from scipy.special import ndtr

RHO = 0.9
SHIFT = -0.3
MEAN = 2.5  # nats, of the surprisals that stand in for a language model's


@dataclass(frozen=True)
class Simulation:
    """Rows x and y of n units, with their truths.

    Both are a first-order autoregression with one coefficient, so that the parts of a correlation have an autocorrelation
    of its square. "normal" rows are bivariate normal with correlation 0.9 and y shifted by -0.3. "surprisal" rows are those
    turned into log-probs: exponential with a mean of 2.5 nats, the long tail of a language model's.
    """

    margins: str
    phi: float = 0.0

    def draw(self, random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """One text."""
        return self._margins(self._latent(random, n))

    def draw_passages(
        self, random: np.random.Generator, count: int, size: int, between: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Passages of about one size that differ among themselves, and which passage each unit belongs to.

        Args:
            random: Where from.
            count: How many passages.
            size: Median number of units of a passage; the logarithm varies with a deviation of 0.5.
            between: The share of the variance that lies between passages.
        """
        sizes = np.maximum(8, size * np.exp(0.5 * random.normal(size=count))).astype(int)
        labels = np.repeat(np.arange(count), sizes)
        within = np.concatenate([self._latent(random, n) for n in sizes], axis=1)
        shared = random.normal(size=(2, count))[:, labels]
        return *self._margins(math.sqrt(1 - between) * within + math.sqrt(between) * shared), labels

    def truths(self) -> dict[str, float]:
        """The statistics of the whole population, as far as they have a closed form or an integral."""
        known = {
            "spearman_rho": 6 / math.pi * math.asin(RHO / 2),
            "kendall_tau": 2 / math.pi * math.asin(RHO),
            "mean_difference": SHIFT,
        }
        if self.margins == "normal":
            deviation = math.sqrt(2 - 2 * RHO)
            share = float(ndtr(SHIFT / deviation))
            known |= {"median_difference": SHIFT, "share_b_more_confident": share, "share_a_more_confident": 1 - share}
            r, variance = RHO, 1.0
        else:
            r, variance = _correlation_of_surprisals(), MEAN**2
        known["pearson_r"] = r
        known["concordance"] = 2 * r * variance / (2 * variance + SHIFT**2)
        known["rms_difference"] = math.sqrt(2 * variance * (1 - r) + SHIFT**2)
        return known

    def _latent(self, random: np.random.Generator, n: int) -> np.ndarray:
        """Two independent standard normal rows, (2, n)."""
        shocks = math.sqrt(1 - self.phi**2) * random.normal(size=(2, n))
        first = random.normal(size=(2, 1))  # from the distribution that the row keeps
        return np.asarray(lfilter([1], [1, -self.phi], shocks, axis=1, zi=self.phi * first)[0])

    def _margins(self, latent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = latent[0], RHO * latent[0] + math.sqrt(1 - RHO**2) * latent[1]
        if self.margins == "surprisal":
            x, y = (MEAN * np.log(ndtr(-row)) for row in (x, y))
        return x, y + SHIFT


def _correlation_of_surprisals() -> float:
    """Pearson's correlation of two exponentials made of normals with correlation RHO, by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()
    x = np.log(ndtr(-nodes))
    y = np.log(ndtr(-(RHO * nodes[:, None] + math.sqrt(1 - RHO**2) * nodes[None, :])))
    return float(weights @ (x[:, None] * y) @ weights - 1)  # both have the mean -1 and the variance 1


@dataclass(frozen=True)
class Texts:
    """Texts that differ among themselves, by two models: log-probs of neighbouring tokens depend on each other.

    Attributes:
        phi: The coefficient of the tokens' autoregression.
        between: The share of a log-prob's variance that lies between texts.
        shift: How the models' difference varies from text to text, as a standard deviation in nats.
        spread: How the correlation varies from text to text, as a standard deviation of Fisher's z.
    """

    phi: float = 0.4
    between: float = 0.15
    shift: float = 0.25
    spread: float = 0.25

    def draw(self, random: np.random.Generator, sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Texts of these sizes: x and y in nats, and the bytes of each token, all in reading order."""
        parts = [self._draw_one(random, n) for n in sizes]
        x, y, n_bytes = (np.concatenate(rows) for rows in zip(*parts, strict=True))
        return x, y, n_bytes

    def _draw_one(self, random: np.random.Generator, n: int) -> tuple[np.ndarray, ...]:
        shocks = math.sqrt(1 - self.phi**2) * random.normal(size=(2, n))
        first = random.normal(size=(2, 1))
        within = lfilter([1], [1, -self.phi], shocks, axis=1, zi=self.phi * first)[0]
        latent = math.sqrt(1 - self.between) * within + math.sqrt(self.between) * random.normal(size=(2, 1))
        rho = math.tanh(1.3 + self.spread * random.normal())
        x, y = latent[0], rho * latent[0] + math.sqrt(1 - rho**2) * latent[1]
        x, y = (MEAN * np.log(ndtr(-row)) for row in (x, y))
        # English takes four bytes a token, and some texts longer words than others.
        n_bytes = 1 + random.poisson(3 * math.exp(0.2 * random.normal()), size=n)
        return x, y + SHIFT + self.shift * random.normal(), n_bytes.astype(float)
