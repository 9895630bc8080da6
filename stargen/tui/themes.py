"""Colours: dark, light, such that colour-blind people can read, and the sixteen of a terminal."""

from __future__ import annotations

from textual.theme import Theme

DARK, LIGHT, SAFE, SIXTEEN = "stargen", "stargen-light", "stargen-safe", "stargen-16"


def _inks(text: str) -> dict[str, str]:
    names = "title rule dim good warn bad accent on-accent cursor heat0 heat1 heat2 heat3 heat4"
    return {f"ink-{name}": colour for name, colour in zip(names.split(), text.split(), strict=True)}


def _footer(background: str, keys: str, words: str) -> dict[str, str]:
    return {
        "footer-foreground": words,
        "footer-background": background,
        "footer-key-foreground": keys,
        "footer-key-background": background,
        "footer-description-foreground": words,
        "footer-description-background": background,
        "footer-item-background": background,
    }


THEMES = (
    Theme(
        DARK,
        primary="#5fafd7",
        secondary="#87afaf",
        accent="#5fd7d7",
        foreground="#d0d4d8",
        background="#11151a",
        surface="#161b22",
        panel="#1c232c",
        success="#5fd787",
        warning="#ffaf5f",
        error="#ff6b6b",
        dark=True,
        variables=_footer("#1c232c", "#5fd7d7", "#b5bcc3")
        | _inks(
            "#e8ecf0 #3a4653 #8b98a5 #5fd787 #ffaf5f #ff6b6b #5fd7d7 #11151a #234a63"
            " #3b5f7a #3f8f8f #7fae54 #d7a64a #ee6352"
        ),
    ),
    Theme(
        LIGHT,
        primary="#005f87",
        secondary="#5f8787",
        accent="#00727a",
        foreground="#24292f",
        background="#fbfbf8",
        surface="#f2f2ee",
        panel="#e8e8e2",
        success="#1a7f37",
        warning="#9a5b00",
        error="#c0242b",
        dark=False,
        variables=_footer("#e8e8e2", "#00727a", "#40464c")
        | _inks(
            "#101418 #b8bec4 #66707a #1a7f37 #9a5b00 #c0242b #00727a #ffffff #cfe6f5"
            " #9dbdd0 #4f9a9a #6d9a2f #b98418 #c8442f"
        ),
    ),
    # Okabe & Ito (2008): colours that people with any common colour-blindness tell apart
    Theme(
        SAFE,
        primary="#56b4e9",
        secondary="#56b4e9",
        accent="#56b4e9",
        foreground="#e0e0e0",
        background="#121212",
        surface="#1a1a1a",
        panel="#222222",
        success="#56b4e9",
        warning="#f0e442",
        error="#e69f00",
        dark=True,
        variables=_footer("#222222", "#56b4e9", "#c8c8c8")
        | _inks(
            "#ffffff #444444 #9a9a9a #56b4e9 #f0e442 #e69f00 #56b4e9 #121212 #00405f"
            " #0d3f66 #0072b2 #56b4e9 #f0e442 #e69f00"
        ),
    ),
    Theme(
        SIXTEEN,
        ansi=True,
        primary="ansi_blue",
        secondary="ansi_cyan",
        accent="ansi_cyan",
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        success="ansi_green",
        warning="ansi_yellow",
        error="ansi_red",
        dark=True,
        variables={
            "ansi-background": "ansi_default",
            "ansi-foreground": "ansi_default",
            "screen-selection-background": "ansi_blue",
            "screen-selection-foreground": "ansi_white",
            "border-blurred": "ansi_bright_black",
            "block-cursor-foreground": "ansi_black",
            "block-cursor-background": "ansi_white",
            "ink-on-cursor": "ansi_bright_white",
            "input-cursor-background": "ansi_white",
            "input-cursor-foreground": "ansi_black",
            "input-selection-background": "ansi_blue",
            "input-selection-foreground": "ansi_white",
            "scrollbar": "ansi_white",
            "scrollbar-background": "ansi_black",
        }
        | _footer("ansi_default", "ansi_cyan", "ansi_default")
        | _inks(
            "ansi_default ansi_bright_black ansi_default ansi_green ansi_yellow ansi_red ansi_cyan"
            " ansi_black ansi_blue ansi_blue ansi_cyan ansi_green ansi_yellow"
            " ansi_red"
        ),
    ),
)

INKS = {
    "title": "foreground",
    "rule": "panel-lighten-2",
    "dim": "foreground-darken-2",
    "good": "success",
    "warn": "warning",
    "bad": "error",
    "accent": "accent",
    "on-accent": "background",
    "cursor": "primary-darken-2",
    "heat0": "primary-darken-2",
    "heat1": "primary",
    "heat2": "success",
    "heat3": "warning",
    "heat4": "error",
}
"""What draws in the themes that are not ours: colours that every theme has."""
