"""`Picture`: a matplotlib figure that displays itself in any notebook, independently of pyplot's state."""

from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenviz.figures.saving import fixed_settings

_SCREEN = 96  # pixels per inch on a page
_SHARP = 2  # pixels of the picture per pixel of the page


class Picture(Figure):
    """The result of the drawing functions: a `Figure` like any other, to be changed, combined or saved."""

    def __repr__(self) -> str:
        titles = (axes.get_title(loc="left") for axes in self.findobj(Axes))  # including axes inside others
        title = " ".join(next((title for title in titles if title), "without a title").split())
        width, height = self.get_size_inches()
        return f"Picture({width:.1f} by {height:.1f} inches: {title})"

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        picture = BytesIO()
        with fixed_settings():
            self.savefig(picture, format="png", dpi=_SHARP * _SCREEN)
        width, height = (round(inches * _SCREEN) for inches in self.get_size_inches())
        return picture.getvalue(), {"width": width, "height": height}
