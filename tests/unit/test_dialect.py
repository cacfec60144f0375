# SPDX-License-Identifier: Apache-2.0
"""One dialect of C, as CONTRIBUTING.md writes it down: what clang-format does not look at."""

import re
from pathlib import Path

from tests.unit.test_structure import ROOT, tracked

COLUMNS = 100
COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)
#: clang-format lays these out as C++.
CPLUSPLUS = ("and", "delete", "new", "not", "operator", "or", "template", "this", "try", "xor")
TYPES = r"(?:(?:const|static|volatile|unsigned|struct|enum|union) )*\w+(?: \*+| )\*?"
DECLARATION = re.compile(rf"\t+{TYPES}(?:const )?\w+(?:\[[^]]*\])*(?: = .*|, .*)?;")
NOT_ONE = re.compile(r"\t+(?:return|goto|else|case|break|continue|default)\b")


def sources() -> list[Path]:
    return [p for p in tracked(".c", ".h") if "include/hw" not in str(p)]


def code(path: Path) -> str:
    """The text with comments and the contents of strings blanked, lines kept."""
    return COMMENT_OR_STRING.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), path.read_text())


def found(pattern: str, text: str, path: Path) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]


def test_lines_have_at_most_100_columns() -> None:
    """Tabs count to the next eighth column. A string may be longer: it can be searched for."""
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line.expandtabs(8)) > COLUMNS and not line.lstrip().startswith('"')
    ]
    assert wrong == []


def test_sizeof_has_parentheses() -> None:
    assert [x for p in sources() for x in found(r"\bsizeof [^(]", code(p), p)] == []


def test_no_name_is_a_keyword_of_cplusplus() -> None:
    pattern = rf"(?<![#\w.>-])(?:{'|'.join(CPLUSPLUS)})\b"
    assert [x for p in sources() for x in found(pattern, code(p), p)] == []


def test_results_are_called_err() -> None:
    pattern = r"\bint (?:rc|ret|r|rv|res)\b(?: =|;|,)"
    assert [x for p in sources() for x in found(pattern, code(p), p)] == []


def test_log_module_stands_after_the_includes() -> None:
    wrong = []
    for path in sources():
        text = path.read_text()
        at = text.find("#define LOG_MODULE")
        if at >= 0 and "#include" in text[at:]:
            wrong.append(str(path.relative_to(ROOT)))
    assert wrong == []


def test_a_blank_line_follows_declarations() -> None:
    """Those at the begin of a block, one to a line."""
    wrong = []
    for path in sources():
        lines = code(path).splitlines()
        begin = False
        for number, line in enumerate(lines):
            if line.rstrip().endswith("{") and not re.search(r"(struct|enum|union)[^(]*\{$", line):
                begin = True
                continue
            if not begin:
                continue
            begin = bool(DECLARATION.fullmatch(line.rstrip())) and not NOT_ONE.match(line)
            following = lines[number + 1].strip() if number + 1 < len(lines) else ""
            same = DECLARATION.match(lines[number + 1]) if following else None
            if begin and following and not same and not following.startswith(("}", "#")):
                raw = path.read_text().splitlines()[number + 1].strip()
                if re.match(r"\w+(\(|\.|->| =| \+=|\+\+)|if |for |while |return|switch ", raw):
                    wrong.append(f"{path.relative_to(ROOT)}:{number + 2}: {raw}")
    assert wrong == []
