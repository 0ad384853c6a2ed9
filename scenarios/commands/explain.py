"""`softnet explain`: what a knob, a counter, a drop reason, a stage or a column means."""

from typing import Annotated

from cyclopts import Parameter

from emu.errors import ConfigError


def explain(
    *name: Annotated[str, Parameter(name="NAME", allow_leading_hyphen=True)],
    json: Annotated[bool, Parameter(name=["--json", "-j"])] = False,
) -> int:
    """Say what something means: its default in each release, how to read and change it on a box, what shows it here.

    Without a name it lists what there is: sysctls, files of /sys and /proc, ethtool settings, counters, drop reasons, stages,
    columns of the screen, keys of scenario files, and the built-in scenarios.

    Parameters
    ----------
    name
        As you know it: netdev_budget_usecs, net.core.rmem_max, a path, ethtool -C rx-usecs, UdpRcvbufErrors, p/poll.
    json
        Print one JSON document.
    """
    from scenarios.catalog import entries
    from scenarios.explain.lookup import Catalogue
    from scenarios.explain.topics import load_topics
    from scenarios.explain.words import (
        SCHEMA_VERSION,
        list_lines,
        scenario_document,
        scenario_lines,
        topic_document,
        topic_lines,
    )

    library = {entry.name: entry for entry in entries()}
    catalogue = Catalogue(load_topics(), list(library))
    text = " ".join(name)
    if name and not text.strip():
        raise ConfigError("explain: the name is empty; without one, `softnet explain` lists what there is")
    topics = catalogue.find(text) if name else list(catalogue.topics)
    asked = [library[text]] if text in library else [] if name else list(library.values())
    if not topics and not asked:
        raise catalogue.unknown(text)
    shown = {
        entry.name: [topic for topic in catalogue.topics if any(words.split()[0] == entry.name for words in topic.try_)]
        for entry in asked
    }
    if json:
        import msgspec

        document = {
            "schema_version": SCHEMA_VERSION,
            "topics": [topic_document(topic) for topic in topics],
            "scenarios": [scenario_document(entry, shown[entry.name]) for entry in asked],
        }
        print(msgspec.json.format(msgspec.json.encode(document)).decode())
        return 0
    if not name:
        print("\n".join(list_lines(topics, list(library))))
        return 0
    parts = [topic_lines(topic) for topic in topics] + [scenario_lines(entry, shown[entry.name]) for entry in asked]
    print("\n\n".join("\n".join(lines) for lines in parts))
    return 0
