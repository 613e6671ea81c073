# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The report of a run: one HTML file that needs nothing else, begins with what was tested, and is read at a glance."""

import dataclasses
import pathlib
import re

from . import svg
from .svg import escape

OUTCOMES = ("failed", "error", "skipped", "passed")  # the worst first
OUTPUT_LIMIT = 20_000  # characters of what a test said, from its end

REALMS = {
    "simulation": "Everything ran in one computer, its lines and ports included. "
                  "No number here is one of real hardware.",
    "emulation": "The processor, its lines and its ports were emulated. No number here is one of real hardware.",
    "hardware": "A real board, with real wires.",
}
UNKNOWN = "Nobody has said whether this was real hardware, so nothing here may be taken for a result from there."

STYLE = """
:root { color-scheme: light dark; --ground: #ffffff; --text: #1c1e21; --soft: #f2f4f6; --line: #c4cad1; --bad: #a3211a;
  --good: #22703a; --realm: #8a4b00 }
@media (prefers-color-scheme: dark) { :root { --ground: #16181b; --text: #e6e8eb; --soft: #22262a; --line: #4a5159;
  --bad: #ff9a8f; --good: #7fd099; --realm: #ffc069 } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: var(--text);
  background: var(--ground) }
.target { border: 3px solid var(--realm); border-radius: .5rem; padding: 0 1.2rem 1rem; background: var(--soft) }
.target.hardware { border-color: var(--good) }
.realm { font-size: 1.5rem; font-weight: 700; text-transform: uppercase; letter-spacing: .08em; margin: .8rem 0 0;
  color: var(--realm) }
.hardware .realm { color: var(--good) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: .5rem 0 }
dt { font-weight: 600 } dd { margin: 0; overflow-wrap: anywhere }
article { border: 1px solid var(--line); border-left-width: .4rem; border-radius: .3rem; padding: 0 1rem 1rem;
  margin: 1rem 0 }
article.failed { border-left-color: var(--bad) } article.passed { border-left-color: var(--good) }
h3 { overflow-wrap: anywhere; margin: .8rem 0 .2rem }
pre { background: var(--soft); padding: .8rem; overflow: auto; max-height: 30rem }
table { border-collapse: collapse; margin: .5rem 0 } th, td { padding: .15rem 1.2rem .15rem 0; text-align: left;
  vertical-align: top; border-bottom: 1px solid var(--line) } td { overflow-wrap: anywhere }
.number { text-align: right; font-variant-numeric: tabular-nums }
.plot { max-width: 100%; height: auto; margin: .5rem 0 } ul { margin: 0; padding-left: 1.2rem }
a { color: inherit }
"""


@dataclasses.dataclass
class Result:
    name: str
    outcome: str | None = None  # None: it never came to an end
    seconds: float = 0.0
    reason: str = ""
    output: str = ""


class Report:
    """Is filled while tests run, and written at the end. `facts` begin the report; "realm" among them says whether the
    target is a simulation, an emulation or hardware."""

    def __init__(self, title: str):
        self.title = title
        self.facts: dict[str, str] = {}
        self.rig: dict = {}
        self._results: list[Result] = []
        self._figures: dict[str, list] = {}
        self._plots: dict[str, list] = {}

    def add(self, name: str, outcome: str, seconds: float = 0.0, reason: str = "", output: str = "") -> None:
        """The outcome of a test. What comes next of the same test, as its end, counts if it is worse."""
        if outcome not in OUTCOMES:
            raise ValueError(f"{name}: expected one of {', '.join(OUTCOMES)}, got {outcome!r}")
        if self._results and self._results[-1].name == name:
            last = self._results[-1]
            last.outcome = min(outcome, last.outcome, key=OUTCOMES.index)
            last.seconds += seconds
            last.reason = "\n".join(filter(None, (last.reason, reason)))
            last.output = "\n".join(filter(None, (last.output, output)))
        else:
            self._results.append(Result(name, outcome, seconds, reason, output))

    def figure(self, test: str, name: str, value, unit: str = "") -> None:
        """A number that a test has measured."""
        self._figures.setdefault(test, []).append((name, value, unit))

    def histogram(self, test: str, title: str, values, unit: str = "") -> None:
        values = list(values)
        self._plots.setdefault(test, []).append((title, lambda note: svg.histogram(title, values, unit, note)))

    def timeline(self, test: str, title: str, series, x_label: str = "", y_label: str = "") -> None:
        """`series` are points (t, value), or those of each name."""
        series = series if isinstance(series, dict) else {"": series}
        series = {name: list(points) for name, points in series.items()}
        self._plots.setdefault(test, []).append(
            (title, lambda note: svg.timeline(title, series, note, x_label, y_label)))

    @property
    def realm(self):
        return self.facts["realm"] if self.facts.get("realm") in REALMS else "unknown"

    def _sorted(self):
        """Results by section. A test that measured something and never ended has failed."""
        known = {result.name for result in self._results}
        unfinished = [Result(name, reason="It did not come to an end.")
                      for name in dict.fromkeys([*self._figures, *self._plots]) if name not in known]
        bad = [result for result in self._results if result.outcome in ("failed", "error")]
        passed = [result for result in self._results if result.outcome == "passed"]
        skipped = [result for result in self._results if result.outcome == "skipped"]
        return bad + unfinished, passed, skipped

    def write(self, folder: pathlib.Path) -> pathlib.Path:
        """Writes report.html, and each plot as a file of its own beside it; the path of the report."""
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        note = f"{self.realm.capitalize()}, target {self.facts.get('target', 'unknown')}"
        drawn, used = {}, set()
        for test, plots in self._plots.items():
            for title, draw in plots:
                picture = draw(note)
                drawn.setdefault(test, []).append(picture)
                name = stem = re.sub(r"[^A-Za-z0-9.]+", "-", f"{test} {title}").strip("-.")[:100] or "plot"
                count = 1
                while name.lower() in used:
                    name = f"{stem}-{(count := count + 1)}"
                used.add(name.lower())
                (folder / f"{name}.svg").write_text(picture, encoding="utf-8")
        path = folder / "report.html"
        path.write_text(self._page(drawn), encoding="utf-8")
        return path

    def _page(self, drawn):
        bad, passed, skipped = self._sorted()
        counts = f"{len(bad)} failed, {len(passed)} passed, {len(skipped)} skipped"
        seconds = sum(result.seconds for result in self._results)
        measured = [each for each in passed if each.name in self._figures or each.name in drawn]
        others = [each for each in passed if each not in measured]
        body = [
            f"<h1>{escape(self.title)}</h1>",
            self._target(),
            f"<p><strong>{counts}</strong>, in {svg.number(round(seconds, 1))} s.</p>",
            section("failed", f"Failed ({len(bad)})", [self._article(each, drawn) for each in bad]),
            section("passed", f"Passed ({len(passed)})",
                    [*(self._article(each, drawn) for each in measured),
                     table(["Test", "Seconds"], [(each.name, each.seconds) for each in others])]),
            section("skipped", f"Skipped ({len(skipped)})",
                    [table(["Test", "Why"], [(each.name, each.reason or "No reason was given.") for each in skipped])]),
            section("rig", "What is wired", [tree(self.rig)] if self.rig else []),
        ]
        return ('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
                '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
                'style-src \'unsafe-inline\'"/>\n'
                '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
                f"<title>{escape(self.realm.capitalize())}: {escape(self.title)}, {counts}</title>\n"
                f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{''.join(body)}</main>\n</body>\n</html>\n")

    def _target(self):
        facts = {name: value for name, value in self.facts.items() if name != "realm"}
        return (f'<section class="target {self.realm}" aria-label="What was tested">\n'
                f'<p class="realm">{self.realm}</p>\n'
                f"<p>{REALMS.get(self.realm, UNKNOWN)}</p>\n{tree(facts)}</section>\n")

    def _article(self, result, drawn):
        kind = "passed" if result.outcome == "passed" else "failed"
        parts = [f'<article class="{kind}">\n<h3>{escape(result.name)}</h3>\n'
                 f"<p>{(result.outcome or 'unfinished').capitalize()}, {svg.number(round(result.seconds, 3))} s</p>\n"]
        if result.reason:
            parts.append(f"<p>{escape(result.reason)}</p>\n")
        if result.output:
            left_out = len(result.output) - OUTPUT_LIMIT
            note = f"… {left_out:,} characters before this are left out\n" if left_out > 0 else ""
            parts.append(f'<pre tabindex="0">{escape(note + result.output[-OUTPUT_LIMIT:])}</pre>\n')
        parts.append(table(["Measured", "Value", "Unit"], self._figures.get(result.name, [])))
        return "".join([*parts, *drawn.get(result.name, []), "</article>\n"])


def section(anchor, title, parts):
    content = "".join(parts)
    return f'<section id="{anchor}">\n<h2>{title}</h2>\n{content}</section>\n' if content else ""


def cell(value):
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f'<td class="number">{svg.number(value)}</td>'
    return f"<td>{escape(value)}</td>"


def table(heads, rows):
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{each}</th>' for each in heads)
    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>\n" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"


def tree(value):
    """Keys and values, and lists, in each other as deep as they come."""
    if isinstance(value, dict):
        pairs = (f"<dt>{escape(key)}</dt><dd>{tree(each)}</dd>\n" for key, each in value.items())
        return f"<dl>\n{''.join(pairs)}</dl>\n"
    if isinstance(value, (list, tuple)):
        return "<ul>" + "".join(f"<li>{tree(each)}</li>" for each in value) + "</ul>"
    return escape(value)
