"""The text heatmap as LaTeX: a fragment for \\input, and a document that compiles by itself.

TeX breaks the lines; the order of boxes in scripts of both directions is computed here and set by the engine. All text is
escaped. A character that an engine or a font cannot set stops with an error that says what to do.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tokenviz.figures.heatmap.definition import TextHeatmap
from tokenviz.figures.heatmap.layout import Paragraph, paragraphs
from tokenviz.figures.heatmap.panels import LONGEST_WORD, Break, Panel, in_parts
from tokenviz.figures.typeset.colours import span_colours, stands_out, text_colour, to_hex
from tokenviz.figures.typeset.fonts import OTHER, Script, script_of
from tokenviz.figures.typeset.latex import COMMANDS, T5_LETTERS, as_set, latex_escaped
from tokenviz.figures.typeset.lines import base_level, levels, strong_direction, turned
from tokenviz.figures.typeset.saving import inches, points

_STRIPS = 24
# What ends a box, by whether a line may end there, and whether the token continues after it.
_ENDS = {
    ("word", False): r"\TVgap", ("token", False): r"\TVlong\TVgap", ("none", False): r"\TVstay\TVgap",
    ("word", True): r"\TVcut", ("token", True): r"\TVlong\TVcut", ("none", True): r"\TVstay\TVcut",
}  # fmt: skip

# Letters that are one glyph in pdfTeX's fonts, by encoding; combined accents could not be searched in the PDF.
_T1 = set("ĂăĄąĆćČčĎďđĘęĚěĞğİıĹĺĽľŁłŃńŇňŊŋŐőŒœŔŕŘřŚśŞşŠšŤťŮůŰűŸŹźŻżŽž¡¿«»„‚‹›") | {
    chr(code) for code in range(0xC0, 0x100) if code not in (0xD7, 0xF7)
}
# Đ is taken from T5, though T1 has it: there it is the glyph of the Icelandic Ð, and a search finds that.
_TS1 = set("¢£¤¥¦§¨©ª¬®¯°±²³´µ¶·¹º¼½¾×÷†‡•€™")
_PDFTEX = _T1 | _TS1 | T5_LETTERS  # which every font of a document should have


def heatmap_latex(heatmap: TextHeatmap, *, font_size: float = 9.0, about: str = "") -> str:
    """Return a fragment for \\input, as wide as the lines around it. It defines \\tokenvizcaption.

    It needs xcolor; with pdflatex T5 as a font encoding for Vietnamese; for scripts that pdflatex cannot set, lualatex or
    xelatex with fontspec; for right-to-left scripts, lualatex. Its first lines say which. A font that the document has chosen
    before, by \\newfontfamily\\TVfThai for example, is used.

    Args:
        heatmap: A heatmap from `text_heatmap`.
        font_size: Size of the text, in points; by default 9.
        about: What made it, for a comment.

    Raises:
        FigureError: The font size is not possible.
    """
    return _rendered("heatmap.tex.j2", heatmap, points(font_size), about)


def heatmap_latex_document(heatmap: TextHeatmap, *, width: float | str = 7.0, font_size: float = 9.0, about: str = "") -> str:
    """Return a document that compiles by itself and contains the result of `heatmap_latex`, with its caption.

    Args:
        heatmap: A heatmap from `text_heatmap`.
        width: Width of the lines: in inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by
            default 7 inches.
        font_size: Size of the text, in points; by default 9.
        about: What made it, for a comment.

    Raises:
        FigureError: The width or the font size is not possible.
    """
    return _rendered("heatmap_document.tex.j2", heatmap, points(font_size), about, width=f"{inches(width):.4f}in")


def _rendered(template: str, heatmap: TextHeatmap, size: float, about: str, **more: str) -> str:
    texts = [
        heatmap.text_name,
        *heatmap.models,
        *heatmap.span_names,
        *(piece for panel in heatmap.panels for piece in (panel.name, *panel.text)),
    ]
    setting = _Setting(as_set("".join(texts)))
    words, scale = heatmap.legend, heatmap.scale
    page: str = (
        _environment()
        .get_template(template)
        .render(
            about=about,
            caption=setting.sentence(heatmap.caption),
            needs_luatex=setting.needs_luatex,
            needs_unicode=setting.needs_unicode,
            needs_t5=setting.needs_t5,
            scripts=setting.names,
            fonts=setting.font_checks(),
            size=size,
            code=heatmap.is_code,
            marked=bool(heatmap.span_names),
            panels=[
                (setting.sentence(f"{panel.name}: {panel.remark}"), [*setting.lines(heatmap, panel)])
                for panel in heatmap.panels
            ],
            axis=setting.sentence(words.axis),
            ticks=[setting.sentence(tick) for tick in words.ticks],
            buckets=[(setting.sentence(name), _hex(heatmap, float(n))) for n, name in enumerate(heatmap.buckets)],
            strips=[_hex(heatmap, value) for value in scale.steps(_STRIPS)] if words.ticks else [],
            diverging=scale.colours.diverging,
            sentences=[setting.sentence(line) for line in words.lines],
            unscored=setting.sentence(words.unscored),
            **more,
        )
    )
    return page


def _hex(heatmap: TextHeatmap, value: float) -> str:
    colour = heatmap.scale.colour(value)
    return to_hex(colour)[1:].upper() if colour else "FFFFFF"


@dataclass(frozen=True)
class _Part:
    """A box: the rows of its tokens, its text, its level, and whether a line may end before it."""

    rows: tuple[int, ...]
    text: str
    level: int
    before: Break

    def touches(self, neighbour: "Sequence[_Part]") -> bool:
        """Return whether the neighbouring box contains a part of one of its tokens."""
        return any(set(self.rows) & set(other.rows) for other in neighbour)


def _box(heatmap: TextHeatmap, panel: Panel, rows: tuple[int, ...], text: str) -> str:
    """Return a box with its colour, or with an equal part for each of the tokens that share its character."""
    values = [float(panel.values[row]) for row in rows]
    colours = [heatmap.scale.colour(value) for value in values]
    ink = text_colour(*colours)
    looks = [
        "n" if colour is None
        else f"{'u' if heatmap.scale.underlined(value) else 'b'}{{{to_hex(colour)[1:].upper()}}}{{{ink}}}"
        for value, colour in zip(values, colours, strict=True)
    ]  # fmt: skip
    if len(rows) == 1:
        return f"\\TV{looks[0]}{{{text}}}"
    hard = not stands_out(ink, *colours)
    edge = {"black": "1", "white": "0"}[ink] if hard else ""
    return f"\\TVs{{{len(rows)}}}{{{''.join(f'{chr(92)}TVp{look}' for look in looks)}}}{{{ink}}}{{{edge}}}{{{text}}}"


class _Setting:
    """The engines and fonts that set the characters of one heatmap."""

    def __init__(self, text: str) -> None:
        signs = {sign for sign in text if not sign.isascii() and sign not in COMMANDS}
        self.needs_unicode = bool(signs - _PDFTEX)
        # XeTeX reverses a line of right-to-left boxes together with the commands that begin and end its colours.
        self.needs_luatex = any(strong_direction(sign) == "R" for sign in signs)
        self.needs_t5 = bool(signs & T5_LETTERS)
        # Joiners and similar characters have no glyph
        self.signs = sorted(sign for sign in signs if unicodedata.category(sign) != "Cf")
        found = dict.fromkeys(script for sign in self.signs if (script := _script(sign)))
        self.scripts = {script: f"\\TVf{''.join(filter(str.isalpha, script.name))}" for script in found}
        self.names = ", ".join(script.name for script in found) or "signs beyond T1"

    def font_checks(self) -> list[str]:
        """Return one line per script that chooses its first available font, and one per character that tests the font."""
        lines = [self._choice(script, macro) for script, macro in self.scripts.items()]
        for sign in self.signs:
            script = _script(sign)
            macro, advice = (self.scripts[script], _advice(script)) if script else ("", "choose another font for the document")
            lines.append(f"\\TVneeds{{{macro}}}{{{ord(sign)}}}{{{ord(sign):04X}}}{{{advice}}}")
        return lines

    def _choice(self, script: Script, macro: str) -> str:
        options = f"Script={script.opentype}" if script.opentype else ""
        choice = f"\\TVstop{{No font for {script.name} is installed: {_advice(script)}}}"
        for family in reversed(script.families):
            choice = f"\\IfFontExistsTF{{{family}}}{{\\TVfamily{macro}{{{family}}}{{{options}}}}}{{{choice}}}"
        return f"\\ifdefined{macro}\\else{choice}\\fi"

    def lines(self, heatmap: TextHeatmap, panel: Panel) -> Iterable[str]:
        """Yield TeX's paragraphs, one for each line of the text."""
        named: set[int] = set()  # rows above which the name of their span was written
        for paragraph in paragraphs(panel, range(len(panel)), as_set):
            yield self._paragraph(heatmap, panel, paragraph, named)
            if paragraph.ends_passage:
                yield r"\TVpassage"

    def _paragraph(self, heatmap: TextHeatmap, panel: Panel, paragraph: Paragraph, named: set[int]) -> str:
        found, base = levels(paragraph.texts), base_level(paragraph.texts)
        parts = [
            _Part(rows, text, level, kind if not number else "none")
            for rows, whole, level, kind in zip(paragraph.rows, paragraph.texts, found, paragraph.breaks, strict=True)
            for number, text in enumerate(
                in_parts(turned(whole, level)) if len(whole) > LONGEST_WORD else [turned(whole, level)]
            )
        ]
        boxes = []
        colours = span_colours(heatmap.span_names)
        for k, part in enumerate(parts):
            before, after = part.touches(parts[k - 1 : k]), part.touches(parts[k + 1 : k + 2])
            # There is no space at a cut inside a token, so that a PDF's text has the token in one piece.
            text = r"\TVnopad " * before + self.escaped(part.text) + r"\TVnopad " * after
            end = _ENDS[parts[k + 1].before, after] if k + 1 < len(parts) else r"\TVgap"
            box = _box(heatmap, panel, part.rows, text)
            if name := panel.spans[part.rows[0]] if panel.spans else "":
                label = "" if part.rows[0] in named else panel.labels.get(part.rows[0], "")
                named.add(part.rows[0])
                box = f"\\TVspan{{{colours[name][1:].upper()}}}{{{self._label(label)}}}{{{box}}}"
            boxes.append((part.level, f"{box}{end}%\n"))
        return f"\\TV{'rtl' if base else 'ltr'}{{%\n{_nested(boxes, base)}}}"

    def _label(self, name: str) -> str:
        """Return the name of a span, in its own direction where the line may have the other."""
        shown = self.sentence(name)
        return f"\\TV{'LR'[base_level([name])]}{{{shown}}}" if name and self.needs_luatex else shown

    def sentence(self, text: str) -> str:
        """Return a sentence with names in it; lines may end between words."""
        return " ".join(self.escaped(word) for word in as_set(text).split(" "))

    def escaped(self, text: str) -> str:
        """Return a text that TeX sets literally, each script in its font."""
        parts = []
        for script, run in groupby(_with_scripts(text), key=lambda pair: pair[0]):
            signs = "".join(sign for _, sign in run)
            if script is not None:
                parts.append(f"{{{self.scripts[script]} {latex_escaped(signs)}}}")
            else:
                parts.append(latex_escaped(signs))
        return "".join(parts)


def _script(sign: str) -> Script | None:
    """Return the script in whose font a character is set; None for the document's own font."""
    return None if sign in _PDFTEX or sign in COMMANDS else script_of(sign)


def _advice(script: Script) -> str:
    return f"install {script.families[0]} (Debian: {script.package})"


def _with_scripts(text: str) -> Iterable[tuple[Script | None, str]]:
    """Yield each character with the script of its font: marks of no script and joiners follow the letter before them."""
    before: Script | None = None
    for sign in text:
        own = _script(sign)
        if unicodedata.category(sign) not in ("Mn", "Mc", "Me", "Cf") or own not in (None, OTHER):
            before = own
        yield before, sign


def _nested(boxes: Sequence[tuple[int, str]], level: int) -> str:
    """Return boxes of a level, and each run of higher ones in a group of the other direction."""
    parts = []
    for higher, run in groupby(boxes, key=lambda box: box[0] > level):
        inner = list(run)
        turn = "L" if level % 2 else "R"
        parts.append(f"\\TV{turn}{{%\n{_nested(inner, level + 1)}}}%\n" if higher else "".join(box for _, box in inner))
    return "".join(parts)


@cache
def _environment() -> Any:
    return Environment(
        loader=PackageLoader("tokenviz", "figures/templates"),
        undefined=StrictUndefined,
        autoescape=False,  # what TeX could read as a command is escaped above
        trim_blocks=True,
        lstrip_blocks=True,
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        keep_trailing_newline=True,
    )
