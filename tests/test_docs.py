"""The pages that users read agree with the code: links, paths, options, commands, extras and figures."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import tomllib
from functools import cache
from pathlib import Path
from statistics import mean

import pytest
from paths import ROOT

from vs_gansr.cli import COMMANDS, parser
from vs_gansr.engine.auto.registry import PROVIDERS
from vs_gansr.filter.settings import ARGUMENTS
from vs_gansr.model import library

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted(ROOT.glob("docs/*.md"))
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
README = TEXTS["README.md"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CARDS = {f"models/{path.name}": path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("models/*.md"))}
MODELS = sorted(path.stem for path in (ROOT / "models").glob("*.onnx") if ".int8" not in path.name)


def rows(text: str, head: str) -> list[list[str]]:
    """The cells of the table under the line that begins with `head`, without markup."""
    lines = text[text.index(f"\n{head}") :].splitlines()[3:]
    table = [line for line in lines[: lines.index("") if "" in lines else None] if line.startswith("|")]
    return [[re.sub(r"[`*]|\]\(.*?\)|\[", "", cell).strip() for cell in line.strip("|").split("|")] for line in table]


def section(text: str, title: str) -> str:
    """The part of a page under one second-level heading."""
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def anchors(text: str) -> set[str]:
    """What links into a page may end in, as GitHub names headings."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def options(of: argparse.ArgumentParser) -> set[str]:
    return {flag for action in of._actions for flag in action.option_strings} - {"-h", "--help"}


grammar = cache(parser)


def subparser(name: str) -> argparse.ArgumentParser:
    (commands,) = (action for action in grammar()._actions if isinstance(action, argparse._SubParsersAction))
    return commands.choices[name]


@pytest.mark.parametrize("page", TEXTS | CARDS)
def test_links_and_paths_lead_somewhere(page: str) -> None:
    folder, text = (ROOT / page).parent, (TEXTS | CARDS)[page]
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        place = folder / name if name else ROOT / page
        assert place.exists(), link
        assert not anchor or anchor in anchors(place.read_text(encoding="utf-8")), link
    for name in re.findall(
        r"(?<![\w./~])((?:scripts|docs|tests|benchmarks|training|vs_gansr|models)/[\w./-]*\w)", text
    ):
        assert (ROOT / name).exists() or "NAME" in name or (ROOT / f"{re.sub(r'[.]\w+$', '', name)}.py").exists(), name


def test_every_page_is_linked_from_the_readme() -> None:
    linked = re.findall(r"\((docs/[\w-]+\.md)", README)
    assert sorted(set(linked)) == [page for page in sorted(TEXTS) if page.startswith("docs/")]


def commands(text: str) -> list[list[str]]:
    """The `gansr` command lines in a page's code blocks, as words."""
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if re.match(r"gansr \w", line)]
    return [shlex.split(line.split(" > ")[0], comments=True)[1:] for line in lines]


@pytest.mark.parametrize("page", TEXTS)
def test_command_lines_are_understood(page: str) -> None:
    for words in commands(TEXTS[page]):
        grammar().parse_args(words[: words.index("--") if "--" in words else None])


def test_the_pages_show_command_lines() -> None:
    assert sum(len(commands(text)) for text in TEXTS.values()) > 20


@cache
def written_options() -> set[str]:
    """Options that the repository's programs have, or give to others."""
    found = {flag for name in COMMANDS for flag in options(subparser(name))}
    for folder in ("benchmarks", "training", "tests/soak", "tests/windows"):
        for path in (ROOT / folder).rglob("*.py"):
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            words = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
            found |= {word for word in words if re.fullmatch(r"--[\w-]+", word)}
    for path in filter(Path.is_file, (ROOT / "scripts").iterdir()):
        found |= set(re.findall(r"(?<![\w-])--[a-z][\w-]+", path.read_text(encoding="utf-8")))
    return found


FOREIGN = {
    "--y4m",
    "--colormatrix",
    "--colorprim",
    "--transfer",
    "--sar",
    "--crf",
    "--master-display",
    "--max-cll",
    "--output-depth",
    "--chromaloc",
    "--logdir",
    "--strict",
}  # of x265 and others


@pytest.mark.parametrize("page", TEXTS)
def test_options_exist(page: str) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", TEXTS[page]))
    assert named - written_options() - FOREIGN == set()


def test_the_command_page_has_every_option_and_no_other() -> None:
    page = TEXTS["docs/cli.md"]
    for name in ("upscale", "convert"):
        table = section(page, f"gansr {name}").split("| argument | meaning | default |")[1].split("\n\n")[0]
        cells = " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| "))
        assert set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", cells)) == options(subparser(name)), name
    assert [row[0].removeprefix("gansr ") for row in rows(page, "| command |")] == list(COMMANDS)


def test_extras_exist() -> None:
    extras = PROJECT["optional-dependencies"]
    (python,) = re.findall(r"Python (3\.\d+) or later", README)
    assert PROJECT["requires-python"] == f">={python}"
    assert [row[0] for row in rows(README, "| extra |")][1:] == [
        name for name in ("cli", "filters", "cuda", "webgpu", "tensorrt", "cluster", "convert") if name in extras
    ]
    for text in TEXTS.values():
        named = re.findall(r"(?:\.|vs-gansr|\.whl)\[([\w,]+)\]", text)
        assert {extra for group in named for extra in group.split(",")} <= set(extras)


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= 900
    read = {page: text for page, text in TEXTS.items() if page not in ("CONTRIBUTING.md", "docs/recipes.md")}
    words = [word for text in read.values() for word in text.split() if re.search("[A-Za-z]", word)]
    assert len(words) <= 9_000


def test_the_readme_has_the_arguments_and_their_defaults() -> None:
    table = rows(README, "| argument |")
    assert [name for name, _, _ in table] == ["clip", *(argument.name for argument in ARGUMENTS)]
    assert all(len(meaning.split()) <= 10 for _, _, meaning in table)
    stated = {name: default for name, default, _ in table}
    for argument in ARGUMENTS:
        if argument.default is not None:
            assert stated[argument.name] in (str(argument.default), str(argument.default).removesuffix(".0"))
    assert stated["model"] == library.default_model()
    details = [name for name, _ in rows(TEXTS["docs/arguments.md"], "| argument |")]
    assert set(details) <= set(stated)


def test_the_readme_has_the_shipped_models() -> None:
    table = {row[0]: row[1:] for row in rows(README, "| model |")}
    assert sorted(table) == MODELS
    assert {name: int(cells[0]) for name, cells in table.items()} == {
        name: library.load(name).spec.scale for name in MODELS
    }


def test_providers_are_those_there_are() -> None:
    named = ", ".join(row[0] for row in rows(README, "| provider |"))
    names = {name for provider in PROVIDERS for name in provider.names}
    for provider in re.sub(r" \(.*?\)", "", named).split(", "):
        assert provider in names or provider.replace(" ", "") in {name.replace("_", "") for name in names}, provider


def test_figures_agree_between_pages() -> None:
    """README's speed is that of docs/speed.md, its gain that of docs/models.md."""
    page = TEXTS["docs/speed.md"]
    speed = {row[1].removesuffix(", int8"): row[2].split()[0] for row in rows(page, "| CPU |")[:5]}
    gains = {}
    for head in ("Twice the size", "Four times the size"):
        gains |= {row[0]: float(row[1]) for row in rows(section(TEXTS["docs/models.md"], head), "| | SSIMULACRA2")[1:]}
    for name, _, fps, gain, _ in rows(README, "| model |"):
        assert fps == (speed.get(name) or speed[name.removesuffix("-psnr")])
        assert float(gain.removesuffix(" (4x)")) == pytest.approx(gains[name], abs=0.051)


def logged(preparation: str, scale: int) -> dict[str, dict[str, float]]:
    """SSIMULACRA2 of the models on each clip as training/LOG.md has it, by clip and method."""
    log = (ROOT / "training" / "LOG.md").read_text(encoding="utf-8")
    date = {2: "2026-12-01, later", 4: "2026-11-28"}[scale]
    title = f"{'Twice' if scale == 2 else 'Four times'} the size, clip by clip, {date}"
    part = log.split(f"\n### {title}\n")[1]
    (head,) = re.findall(rf"^\| {preparation}, SSIMULACRA2 \|.*$", part.split("\n### ")[0], re.MULTILINE)
    methods = [cell.strip() for cell in head.strip("|").split("|")][1:]
    return {row[0]: dict(zip(methods, map(float, row[1:]), strict=True)) for row in rows(part, head)}


@pytest.mark.parametrize(("scale", "title"), [(2, "Twice the size"), (4, "Four times the size")])
def test_gains_are_means_of_the_logged_clips(scale: int, title: str) -> None:
    table = {row[0]: row[1:4] for row in rows(section(TEXTS["docs/models.md"], title), "| | SSIMULACRA2")}
    for at, preparation in enumerate("ABC"):
        clips = {name: row for name, row in logged(preparation, scale).items() if "credits" not in name}
        base = mean(row["Lanczos"] for row in clips.values())
        assert float(table["Lanczos"][at]) == pytest.approx(base, abs=0.011)
        for name in table.keys() - {"Lanczos"}:
            gain = mean(row[name] for row in clips.values()) - base
            assert float(table[name][at]) == pytest.approx(gain, abs=0.011), (name, preparation)
            assert name == "general-2x" or all(row[name] > row["Lanczos"] for row in clips.values())


OLD = ("twin", "crew", "undertaker", "the adversary", "so-manieth", "made-up", "way back", "nothing or lies")


@pytest.mark.parametrize("page", sorted((TEXTS | CARDS).keys() - {"docs/recipes.md"}))  # generated from the schema
def test_pages_use_the_glossary_s_words(page: str) -> None:
    assert [word for word in OLD if re.search(rf"\b{word}", (TEXTS | CARDS)[page].lower())] == []
