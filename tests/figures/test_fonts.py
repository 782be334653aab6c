"""Fonts for many scripts, and what stands where no font has a character."""

import unicodedata

import pytest
from fontTools.ttLib import TTFont
from fontTools.unicodedata import Blocks, Scripts
from matplotlib import font_manager

from tokenviz.figures.typeset import fonts
from tokenviz.figures.typeset.fonts import SCRIPTS, drawable, fonts_for, missing_note, name_of_script, script_of, shortened

THAI = "น้ำ"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with the packaged fonts only."""
    monkeypatch.setattr(fonts, "_installed", frozenset)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    "text",
    ["Tiếng Việt ệữ", "καλημέρα", "доброе утро", "سلام", "שלום", "日本語のテキスト、漢字", "∑ π² ≤ ∞", "↵⇥⇤⟨⟩−…“”ρ"],
    ids=["Vietnamese", "Greek", "Cyrillic", "Arabic", "Hebrew", "Japanese", "mathematics", "our own signs"],
)
def test_packaged_fonts_have_the_script(text: str) -> None:
    families, missing = fonts_for(set(text))
    assert missing == set()
    assert families[0] == "DejaVu Sans"
    assert drawable(text, missing) == text


@pytest.mark.usefixtures("bare")
def test_characters_without_a_font_become_code_points() -> None:
    _, missing = fonts_for(set("A🙂"))
    assert missing == {"🙂"}
    assert drawable("A🙂B", missing) == "A⟨1F642⟩B"


@pytest.mark.usefixtures("bare")
def test_invisible_characters_without_a_font_are_left_out() -> None:
    text = f"{THAI}\U000e0020"  # a tag character, which no font has
    _, missing = fonts_for(set(text))
    assert drawable("\U000e0020", missing) == ""
    assert drawable("\u0e49", missing) == ""  # a mark above a letter
    assert drawable("\u0e19", missing) == "⟨E19⟩"


def test_a_font_of_the_system_is_taken_where_it_has_the_character(monkeypatch: pytest.MonkeyPatch) -> None:
    charmaps = {"DejaVu Sans": frozenset(map(ord, "ab")), "Symbola": frozenset([0x1F642]), "Unifont": frozenset([0x41])}
    monkeypatch.setattr(fonts, "_installed", lambda: frozenset({"Symbola", "Unifont"}))
    monkeypatch.setattr(fonts, "_japanese", lambda: None)
    monkeypatch.setattr(fonts, "_charmap", charmaps.__getitem__)
    monkeypatch.setattr(fonts, "with_truetype_outlines", lambda family, characters: [family])
    assert fonts_for(set("ab🙂界")) == (["DejaVu Sans", "Symbola"], {"界"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("\n", "↵"), ("\t", "⇥"), ("\r\n", "⇤↵"), ("\x1b[2J", "⟨1B⟩[2J"), ("\0", "⟨0⟩"), ("\x7f", "⟨7F⟩"), ("\x9b", "⟨9B⟩")],
)
def test_control_characters_are_made_visible(text: str, expected: str) -> None:
    assert drawable(text, set()) == expected


@pytest.mark.usefixtures("bare")
def test_no_control_character_is_ever_drawn() -> None:
    signs = [chr(code) for code in [*range(0x20), *range(0x7F, 0xA0)]]
    drawn = drawable("".join(signs), fonts_for(set(signs))[1])
    assert not set(signs) & set(drawn)
    assert fonts_for(set(drawn))[1] == set()  # what stands in for them can itself be drawn


def test_spaces_and_ordinary_text_stay_as_they_are() -> None:
    assert drawable("  two  $x$ \\n é", set()) == "  two  $x$ \\n é"


def test_each_script_is_looked_for_in_its_own_fonts_first(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = frozenset(map(ord, "\u0323กह🙂"))
    charmaps = {"DejaVu Sans": frozenset(), "FreeSerif": everything, "Symbola": frozenset([0x1F642]),
                "Noto Sans Thai": frozenset([ord("ก")]), "Noto Sans Devanagari": frozenset([ord("ह")])}  # fmt: skip
    monkeypatch.setattr(fonts, "_installed", lambda: frozenset(charmaps))
    monkeypatch.setattr(fonts, "_japanese", lambda: None)
    monkeypatch.setattr(fonts, "_charmap", charmaps.__getitem__)
    monkeypatch.setattr(fonts, "with_truetype_outlines", lambda family, characters: [f"{family}: {''.join(characters)}"])
    families, missing = fonts_for(set("\u0323กह🙂"))
    assert missing == set()
    assert set(families[1:]) == {"FreeSerif: \u0323", "Noto Sans Thai: ก", "Noto Sans Devanagari: ह", "Symbola: 🙂"}


def test_a_font_that_was_installed_since_matplotlib_made_its_list_is_found(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    with TTFont(font_manager.findfont("DejaVu Sans")) as font:
        for record in font["name"].names:
            if record.nameID in (1, 4, 16):
                record.string = "Made Just Now"
        font.save(tmp_path / "new.ttf")
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    found = [str(tmp_path / "broken.ttf"), str(tmp_path / "new.ttf")]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: found)
    known = list(font_manager.fontManager.ttflist)
    monkeypatch.setattr(font_manager.fontManager, "ttflist", known)
    assert "Made Just Now" in fonts._installed.__wrapped__()


def test_the_note_names_the_characters_and_what_to_install() -> None:
    assert missing_note({"🙂"}) == (
        "no installed font has U+1F642 SLIGHTLY SMILING FACE; drawn as code points. Install Symbola (Debian: fonts-symbola)"
    )
    assert missing_note({"ก"}).endswith(". Install Noto Sans Thai (Debian: fonts-noto-core)")
    assert missing_note({"한"}).endswith(". Install Noto Sans CJK JP (Debian: fonts-noto-cjk)")


def test_the_note_names_three_and_counts_the_rest() -> None:
    note = missing_note(set("กขฃคฅह"))
    assert "U+0939 DEVANAGARI LETTER HA, U+0E01 THAI CHARACTER KO KAI, U+0E02" in note
    assert " and 3 more; drawn" in note
    assert "U+0E04" not in note
    assert note.endswith("Install Noto Sans Devanagari (Debian: fonts-noto-core) and Noto Sans Thai (Debian: fonts-noto-core)")


@pytest.mark.parametrize(
    ("sign", "name"),
    [("ก", "Thai"), ("中", "Chinese, Japanese and Korean"), ("한", "Chinese, Japanese and Korean"), ("🙂", "emoji"),
     ("ש", "Hebrew"), ("ς", "Greek and Cyrillic"), ("ж", "Greek and Cyrillic"), ("∑", "other signs"), ("𐀀", "Linear B")],
)  # fmt: skip
def test_characters_have_a_script(sign: str, name: str) -> None:
    script = script_of(sign)
    assert script is not None
    assert script.name == name


@pytest.mark.parametrize("sign", "aệ0 é–\u0301“")
def test_what_every_font_has_needs_no_script(sign: str) -> None:
    assert script_of(sign) is None


def test_what_a_script_is_called_by_is_a_name_of_unicode_and_its_own() -> None:
    parts = [part for script in SCRIPTS for part in script.parts]
    assert len(parts) == len(set(parts))
    blocks, names = set(Blocks.VALUES), {name.replace("_", " ") for name in Scripts.NAMES.values()}
    for part in parts:
        assert part in names or any(f"{name} ".startswith(f"{part} ") for name in blocks), part


def test_every_assigned_character_beyond_the_latin_ones_has_a_script_and_none_of_its_letters_is_a_sign() -> None:
    """A letter of any script of Unicode is told by the font of that script, not by that of signs of no script."""
    for code in range(0x250, 0x20000):
        sign = chr(code)
        if unicodedata.category(sign) != "Lo" or (script := script_of(sign)) is None:
            continue
        name = name_of_script(sign)
        assert name in (*script.parts, "Latin", "Common"), f"U+{code:04X}"


@pytest.mark.parametrize(
    ("sign", "name"),
    [("、", "Chinese, Japanese and Korean"), ("！", "Chinese, Japanese and Korean"), ("㊗", "Chinese, Japanese and Korean"),
     ("،", "Arabic"), ("\u064b", "Arabic"), ("।", "Devanagari"), ("\u0951", "Devanagari"), ("฿", "Thai"), ("჻", "Georgian"),
     ("☀", "emoji"), ("✓", "emoji"), ("🀄", "emoji"), ("🂡", "emoji"), ("🩰", "emoji"), ("→", "other signs"),
     ("Ａ", "Chinese, Japanese and Korean"), ("᜵", "other signs"), ("ʰ", "other signs")],
)  # fmt: skip
def test_a_sign_of_several_scripts_goes_with_its_block(sign: str, name: str) -> None:
    script = script_of(sign)
    assert script is not None
    assert script.name == name


@pytest.mark.parametrize("missing", [set(), {"\u200d", "\ufe0f"}, {"\n", "\x1b"}])
def test_there_is_no_note_where_nothing_is_drawn_as_a_code_point(missing: set[str]) -> None:
    assert missing_note(missing) == ""


def test_a_name_that_fits_is_not_shortened() -> None:
    assert shortened("glass-en", lambda name: len(name) <= 8) == "glass-en"


def test_a_long_name_keeps_its_ends() -> None:
    short = shortened("/models/a/very/long/path,dtype=bfloat16", lambda name: len(name) <= 21)
    assert short == "/models/a/…e=bfloat16"


def test_a_name_for_which_there_is_no_room_still_ends() -> None:
    assert shortened("abcdef", lambda name: False) == "a…f"


@pytest.mark.parametrize(
    ("sign", "name", "family"),
    [
        ("\u1c90", "Georgian", "Noto Sans Georgian"),
        ("\ua640", "Greek and Cyrillic", "DejaVu Sans"),
        ("\u2d80", "Ethiopic", "Noto Sans Ethiopic"),
        ("\ua98f", "Javanese", "Noto Sans Javanese"),
        ("\U00010330", "Gothic", "Noto Sans Gothic"),
        ("\u1b05", "Balinese", "Noto Sans Balinese"),
        ("\u2211", "other signs", "Symbola"),
    ],
)
def test_the_advice_names_the_font_of_the_script_also_beyond_its_first_block(sign: str, name: str, family: str) -> None:
    script = script_of(sign)
    assert script is not None
    assert (script.name, script.families[0]) == (name, family)
