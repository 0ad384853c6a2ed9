"""`softnet scenarios`: the built-in scenarios, a line each."""


def list_scenarios() -> int:
    """List the built-in scenarios."""
    from scenarios.catalog import entries

    found = entries()
    width = max((len(entry.name) for entry in found), default=0)
    for entry in found:
        print(f"{entry.name:{width}}  {entry.description}")
    return 0
