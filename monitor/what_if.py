"""What if: the comparison that answers whether a sentence's suggestion would help; printed, never run."""

from __future__ import annotations

import shlex

from rich.text import Text

from monitor.lines import FAINT, HEADING, View, cut, cut_visibly, line, plain, rule
from monitor.snapshot import Meta, Snapshot
from monitor.why.finding import Finding
from monitor.why_panel import place_among, selected, wrapped


def what_if(meta: Meta, finding: Finding | None) -> tuple[str, ...]:
    """`softnet compare` with the run's own options and the finding's commands as changes, in the lines of one shell command.

    Empty without commands, or where nobody knows what would run the machine again.
    """
    words = shlex.split(meta.command)
    if finding is None or not finding.commands or words[:2] != ["softnet", "run"]:
        return ()
    lines = [shlex.join(["softnet", "compare", *words[2:]])]
    lines += [shlex.join(["--change", command]) for command in finding.commands]
    return (*(f"{words} \\" for words in lines[:-1]), lines[-1])


def what_if_page(snapshot: Snapshot, found: tuple[Finding, ...], view: View, lines: int) -> list[Text]:
    """The comparison for the selected sentence."""
    finding = selected(found, view)
    command = what_if(snapshot.meta, finding)
    note = f"the same traffic with and without, over ten seeds; {place_among(found, finding)}"
    page = [rule("WHAT IF", view.width, note, view.unicode)]
    if finding is not None:
        page += wrapped(finding.text, view, HEADING)
    if finding is not None and command:
        page += [*wrapped(finding.advice, view, ""), line()]
        for number, words in enumerate(command):
            page.append(cut_visibly(line("    " if number else "  ", plain(words, unicode=view.unicode)), view.width))
        if any(done.live and not done.asked for done in snapshot.commands):
            page += [
                line(),
                *wrapped("Commands of this session are not in it; `s` saves a scenario that has them.", view, FAINT),
            ]
    else:
        page.append(line((" no setting that could be compared is suggested", FAINT)))
    return [cut(text, view.width) for text in page[:lines]]
