"""The colours of the application: one dark and one light theme, both restrained.

Screens name roles ($primary, $text-muted, …), never colours, so a theme is this file alone.
"""

from __future__ import annotations

from typing import Final

from textual.theme import Theme

DARK: Final = Theme(
    name="lora-dark",
    dark=True,
    primary="#7fb4ca",
    secondary="#8d99a8",
    accent="#e6b566",
    success="#8fbf7f",
    warning="#e09a57",
    error="#e2727a",
    foreground="#d3d9e0",
    background="#0f1317",
    surface="#151a20",
    panel="#1b222a",
    boost="#232c36",
    variables={
        "block-cursor-background": "#263542",
        "block-cursor-foreground": "#eef3f7",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#1d262f",
        "block-hover-background": "#1a2129",
        "border": "#7fb4ca",
        "border-blurred": "#2c3742",
        "footer-background": "#0f1317",
        "footer-foreground": "#8d99a8",
        "footer-key-foreground": "#7fb4ca",
        "footer-key-background": "#0f1317",
        "footer-description-background": "#0f1317",
        "footer-description-foreground": "#8d99a8",
        "input-selection-background": "#7fb4ca 30%",
        "scrollbar": "#2c3742",
        "scrollbar-hover": "#3a4855",
        "scrollbar-active": "#7fb4ca",
        "scrollbar-background": "#0f1317",
        "scrollbar-background-hover": "#0f1317",
        "scrollbar-background-active": "#0f1317",
        "scrollbar-corner-color": "#0f1317",
    },
)

LIGHT: Final = Theme(
    name="lora-light",
    dark=False,
    primary="#20688a",
    secondary="#5d6873",
    accent="#a56a00",
    success="#37753a",
    warning="#a8550f",
    error="#b0324a",
    foreground="#262b30",
    background="#fbfaf7",
    surface="#f4f2ed",
    panel="#ebe8e1",
    boost="#e2ded5",
    variables={
        "block-cursor-background": "#d6e4ea",
        "block-cursor-foreground": "#10202a",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#e9eced",
        "block-hover-background": "#f0eee8",
        "border": "#20688a",
        "border-blurred": "#cfcabf",
        "footer-background": "#fbfaf7",
        "footer-foreground": "#5d6873",
        "footer-key-foreground": "#20688a",
        "footer-key-background": "#fbfaf7",
        "footer-description-background": "#fbfaf7",
        "footer-description-foreground": "#5d6873",
        "scrollbar": "#cfcabf",
        "scrollbar-hover": "#b9b3a6",
        "scrollbar-active": "#20688a",
        "scrollbar-background": "#fbfaf7",
        "scrollbar-background-hover": "#fbfaf7",
        "scrollbar-background-active": "#fbfaf7",
        "scrollbar-corner-color": "#fbfaf7",
    },
)

THEMES: Final = (DARK, LIGHT)
