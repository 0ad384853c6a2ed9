"""The command line: what a shell user types works, and what does not is refused with a sentence."""

from collections.abc import Callable
from errno import EINVAL, ENOENT, EOVERFLOW

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.commands import Commands, apply_setting, echo_line, parse_setting
from emu.errors import ConfigError, ControlError
from emu.settings import NetCoreSettings
from emu.tree import ControlTree, mask_entry

RPS_CPUS = "/sys/class/net/eth0/queues/rx-0/rps_cpus"


def shell() -> tuple[Commands, NetCoreSettings, list[tuple[str, str]]]:
    log: list[tuple[str, str]] = []
    tree = ControlTree(log=lambda path, text: log.append((path, text)))
    settings = NetCoreSettings(4, netdev_budget_usecs=2000)
    settings.contribute(tree)
    masks = [0]

    def put(mask: int) -> None:
        masks[0] = mask

    tree.add_entry(RPS_CPUS, mask_entry(lambda: masks[0], put, 4))
    return Commands(tree), settings, log


def refusal(act: Callable[[str], object], line: str) -> ControlError:
    with pytest.raises(ControlError) as refused:
        act(line)
    return refused.value


@pytest.mark.parametrize(
    "line",
    [
        f"echo f > {RPS_CPUS}",
        f"echo f >{RPS_CPUS}",
        f"echo f>{RPS_CPUS}",
        f"  echo  'f'  >  \"{RPS_CPUS}\"  ",
        f"echo -n f > {RPS_CPUS}",
        f"echo -e '\\0146' > {RPS_CPUS}",
        f"echo -n -e '\\0146' > {RPS_CPUS}",
        f"echo > {RPS_CPUS} f",
        f"echo f >> {RPS_CPUS}",
        f"echo \\f > {RPS_CPUS}",
    ],
)
def test_echo_writes_as_a_shell_would(line: str) -> None:
    commands, _, log = shell()
    assert commands.run(line) == ""
    assert commands.run(f"cat {RPS_CPUS}") == "f\n"
    assert log == [(RPS_CPUS, "f")]


def test_echo_without_a_file_prints_its_words() -> None:
    commands, _, log = shell()
    assert commands.run("echo a  'b  c' -n") == "a b  c -n\n"
    assert commands.run("echo") == "\n"
    assert commands.run("echo 'a|b; c' x=\\>1 ''") == "a|b; c x=>1 \n"
    assert log == []


def test_cat_joins_the_files_it_is_given() -> None:
    commands, _, _ = shell()
    assert commands.run(f"cat {RPS_CPUS} /proc/sys/net/core/netdev_budget") == "0\n300\n"


def test_sysctl_reads_and_writes_by_name() -> None:
    commands, settings, _ = shell()
    assert commands.run("sysctl net.core.netdev_budget") == "net.core.netdev_budget = 300\n"
    assert commands.run("sysctl -w net.core.netdev_budget=600") == "net.core.netdev_budget = 600\n"
    assert commands.run("sysctl net/core/dev_weight=32 'net.core.gro_normal_batch = 50'") == (
        "net.core.dev_weight = 32\nnet.core.gro_normal_batch = 50\n"
    )
    assert commands.run("sysctl -qw net.core.netdev_max_backlog=1") == ""
    assert commands.run("sysctl -n net.core.netdev_budget") == "600\n"
    assert (settings.netdev_budget, settings.dev_weight) == (600, 32)
    assert (settings.gro_normal_batch, settings.netdev_max_backlog) == (50, 1)


def test_sysctl_a_shows_every_sysctl_and_nothing_else() -> None:
    commands, settings, _ = shell()
    lines = commands.run("sysctl -a").splitlines()
    assert [line.partition(" = ")[0] for line in lines] == [f"net.core.{name}" for name in settings.names()]


@pytest.mark.parametrize(
    ("line", "errno", "words"),
    [
        (f"echo 1f > {RPS_CPUS}", EOVERFLOW, "highest CPU is 3"),
        (f"echo 3>{RPS_CPUS}", EINVAL, "file descriptor"),
        (f"echo f | tee {RPS_CPUS}", EINVAL, "no pipes"),
        (f"echo f > {RPS_CPUS}; echo 1", EINVAL, "one command a line"),
        ("echo f >", EINVAL, "echo VALUE > PATH"),
        (f"echo f > {RPS_CPUS} > {RPS_CPUS}", EINVAL, "one file"),
        (f"> {RPS_CPUS}", EINVAL, "nothing to write"),
        (f"cat x > {RPS_CPUS}", EINVAL, "only echo"),
        ("echo f > rps_cpus", ENOENT, "absolute path"),
        ("echo -e 'f\\n'", EINVAL, "three octal digits"),
        ("echo -e '\\0777'", EINVAL, "three octal digits"),
        ("echo -e '\\0377'", EINVAL, "a byte of UTF-8"),
        ("echo 'f", EINVAL, "no closing quotation"),
        ("cat", EINVAL, "cat PATH"),
        ("cat /proc/sys/net/core/netdev_budge", ENOENT, "netdev_budget"),
        ("sysctl", EINVAL, "NAME"),
        ("sysctl -w net.core.netdev_budget", EINVAL, "=VALUE"),
        ("sysctl -p x", EINVAL, "'-p'"),
        (f"sysctl {RPS_CPUS}=1", EINVAL, "is no sysctl"),
        ("sysctl net.core.netdev_budget=", EINVAL, "write a number"),
        ("sysclt -a", ENOENT, "nearest is sysctl"),
    ],
)
def test_what_is_refused_says_why_and_writes_nothing(line: str, errno: int, words: str) -> None:
    commands, _, log = shell()
    error = refusal(commands.run, line)
    assert error.errno == errno
    assert words in str(error)
    assert log == []


def test_a_registered_command_gets_its_words_and_is_offered_as_the_nearest() -> None:
    commands, _, _ = shell()
    commands.register("ethtool", lambda words: "|".join(words) + "\n")
    assert commands.run("ethtool -C eth0 rx-usecs '50'") == "-C|eth0|rx-usecs|50\n"
    assert commands.names() == ["cat", "echo", "ethtool", "sysctl"]
    assert "ethtool" in str(refusal(commands.run, "ethtol -l eth0"))
    with pytest.raises(ValueError):
        commands.register("echo", lambda words: "")


def test_empty_lines_and_comments_do_nothing() -> None:
    commands, _, log = shell()
    assert [commands.run(line) for line in ("", "   ", "# echo f > x", "  #")] == [""] * 4
    assert log == []


def test_a_setting_is_a_path_or_a_sysctl_and_takes_numbers_and_switches() -> None:
    commands, settings, _ = shell()
    tree = commands.tree
    apply_setting(tree, "net.core.netdev_budget", 600)
    apply_setting(tree, "net.core.netdev_max_backlog", False)
    apply_setting(tree, RPS_CPUS, "0f")
    apply_setting(tree, *parse_setting("net/core/dev_weight = 16"))
    assert (settings.netdev_budget, settings.netdev_max_backlog, settings.dev_weight) == (600, 0, 16)
    assert tree.read(RPS_CPUS) == "f\n"


def test_a_setting_keeps_what_follows_the_first_equals_sign() -> None:
    assert parse_setting("/a=b=c") == ("/a", "b=c")
    assert parse_setting("net.core.x=") == ("net.core.x", "")


@pytest.mark.parametrize("text", ["", "net.core.netdev_budget", "=600", "  =1"])
def test_a_setting_without_a_key_or_an_equals_sign_is_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"net\.core\.netdev_budget=600"):
        parse_setting(text)


@given(
    st.text(max_size=60)
    | st.lists(
        st.sampled_from(["echo", "cat", "sysctl", "-w", "-a", "f", "'", '"', "\\", ">", "|", "#", "="])
        | st.sampled_from([RPS_CPUS, "net.core.dev_weight=7", "/proc", "-n", "\x00", "\n"]),
        max_size=8,
    ).map(" ".join)
)
def test_no_line_raises_anything_but_a_control_error_and_a_refused_echo_writes_nothing(line: str) -> None:
    commands, _, log = shell()
    try:
        printed = commands.run(line)
    except ControlError:
        printed = None
    assert printed is None or printed == "" or printed.endswith("\n") or "-n" in line
    if printed is None and "sysctl" not in line:
        assert log == []


@given(
    st.one_of(
        st.text(), st.sampled_from(["-n", "-en", "-5", "\\0101", "1\0", "1\n2\n", "\x1b[31m", "-e\n", ")", " 3>"])
    )
)
def test_the_line_of_a_write_is_printable_and_writes_that_text(text: str) -> None:
    written: list[str] = []
    tree = ControlTree()
    tree.add("/sys/a b", None, written.append)
    line = echo_line(text, "/sys/a b")
    Commands(tree).run(line)
    assert line.isprintable()
    assert written == [text.removesuffix("\n")]
