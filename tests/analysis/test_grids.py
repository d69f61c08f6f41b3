"""Tables of text on a terminal: what is broken, and what is left out, where it is narrow."""

from __future__ import annotations

import io

from rich.console import Console

from analysis.grids import Cell, Column, Grid, print_grid


def test_a_narrow_terminal_breaks_heads_at_words_and_no_number_from_its_percent_sign() -> None:
    heads = (Column("figure", True), Column("mean over seeds"), Column("95 % images"), Column("ensemble 95 %", drop=1))
    grid = Grid("", heads, (tuple(map(Cell, ("accuracy", "0.8547", "0.791–0.901", "0.796–0.905"))),))
    console = Console(file=io.StringIO(), width=48, color_system=None)
    print_grid(console, grid)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [line.split() for line in text.splitlines()]
    assert ["over", "95", "%", "ensemble"] in lines
    assert ["figure", "seeds", "images", "95", "%"] in lines
    assert "left out" not in text
