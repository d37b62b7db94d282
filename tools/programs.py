# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every program that tests and tools start must come from requirements/. Usage: python tools/programs.py

A line of requirements/apt*.txt names a package and the programs that are used from it: "e2fsprogs  # mkfs.ext4", or in brackets the
reason for a package without programs. All other programs must come from Debian's essential or required packages, or from .venv.
When the source does not tell which program a call starts, a comment at the call must: "# starts: umount, tar (and why)". A call
without one is a failure, and so is a program that starts others (sh, nsenter) without a comment that names all of them.
"""

from __future__ import annotations

import ast
import io
import pathlib
import re
import shutil
import subprocess
import sys
import tokenize
import typing as t

ROOT = pathlib.Path(__file__).resolve().parent.parent
#: Programs that other programs start for us, with those programs: our sources do not name them.
INDIRECT = {
    "crun": "the embedded engine, where a test asks for it",
    "git": "ansible-test, reuse, molecule",
    "make": "CONTRIBUTING.md, .ci/run",
    "busybox": "the images that tests make",
    "ps": "pytest-testinfra",
    "runc": "both engines",
}
#: By the beginning of a path: a file of requirements/ that only those sources need.
MORE = {"tools/vm": "apt-vm.txt", "tests/vm": "apt-vm.txt"}
STARTERS = {
    "subprocess": {"run", "Popen", "call", "check_call", "check_output", "getoutput", "getstatusoutput"},
    "os": {"system", "popen", "posix_spawn", "posix_spawnp"}
    | {f"exec{how}" for how in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")},
    "pty": {"spawn"},
    "asyncio": {"create_subprocess_exec", "create_subprocess_shell"},
    "shutil": {"which"},
    "host": {"run", "check_output", "run_test", "run_expect"},
}
#: Which of them take the text of a shell command.
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell"}
SHELLS |= {f"host.{name}" for name in STARTERS["host"]}
TASKS = {"ansible.builtin.shell", "ansible.builtin.command"}
WRAPPERS = {
    "bash",
    "chroot",
    "env",
    "ip",
    "nice",
    "nsenter",
    "setpriv",
    "setsid",
    "sh",
    "strace",
    "sudo",
    "timeout",
    "unshare",
    "xargs",
}
#: Our own Python, and the programs beside it.
VENV = ".venv"
_COMMENT = re.compile(r"#\s*starts:(.*)")
#: Words of the shell itself: those before a command, and complete commands.
_BEFORE = {"if", "then", "else", "do", "while", "until", "exec", "command", "!", "(", "{"}
_BUILTIN = {"cd", "echo", "exit", "export", "for", "set", "test", "trap", "true", "wait", "fi", "done", "}", ")"}


class Use(t.NamedTuple):
    """A program, and the place where it is started."""

    program: str
    place: str


class Unknown(Exception):
    """The source does not tell which program is started."""


class Source:
    """One Python file, with its calls that start programs."""

    def __init__(self, path: pathlib.Path, text: str, name: str) -> None:
        self.name, self.tree = name, ast.parse(text, str(path))
        self.comments: t.Dict[int, str] = {}
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            found = token.type == tokenize.COMMENT and _COMMENT.match(token.string)
            if found:
                self.comments[token.start[0]] = found.group(1)
        self.used: t.Set[int] = set()
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def look(self) -> t.Tuple[t.List[Use], t.List[str]]:
        """The programs that are started, and the mistakes."""
        uses: t.List[Use] = []
        wrong: t.List[str] = []
        for node in ast.walk(self.tree):
            place = f"{self.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.ImportFrom) and set(STARTERS.get(node.module or "", ())) & {one.name for one in node.names}:
                wrong.append(f"{place}: import the module {node.module} itself, so that its calls can be seen")
            if isinstance(node, ast.Import) and any(one.asname and one.name in STARTERS for one in node.names):
                wrong.append(f"{place}: import it by its own name, so that its calls can be seen")
            what = self._starts(node)
            if what is None:
                found, complaints = _in_text(node, place)
                uses += found
                wrong += complaints
                continue
            said = self._comment(node)
            try:
                programs = what() if said is None else said
            except Unknown:
                programs = set()
                wrong.append(f"{place}: what it starts cannot be read off the source: say it in a comment, # starts: ...")
            if programs & WRAPPERS and said is None:
                wrong.append(f"{place}: {min(programs & WRAPPERS)} starts another program: say which in a comment, # starts: ...")
            uses += [Use(one, place) for one in sorted(programs) if one != VENV]
        wrong += [
            f"{self.name}:{line}: this comment is at no call that starts something"
            for line in sorted(set(self.comments) - self.used)
        ]
        return uses, wrong

    def _starts(self, node: ast.AST) -> t.Optional[t.Callable[[], t.Set[str]]]:
        """For a call that starts programs: the expression that names them."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in STARTERS.get(node.value.id, ()):
            call = self.parents[node]
            if isinstance(call, ast.Subscript):  # a type: subprocess.Popen[str]
                return None
            if not isinstance(call, ast.Call) or call.func is not node:
                return self._unknown
            shell = any(one.arg == "shell" for one in call.keywords)
            command = call.args[0] if call.args else None
            if command is None:
                return self._unknown
            if shell or ast.unparse(node) in SHELLS:
                return lambda: shell_programs(_constant(command))
            return lambda: self._heads(command, command)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.match(r"#!\s*/", node.value):
            interpreter = re.split(r"[/\s]+", node.value.partition("\n")[0])[-1]
            return lambda: {interpreter}
        if isinstance(node, ast.Dict):
            found = [value for key, value in zip(node.keys, node.values) if isinstance(key, ast.Constant) and key.value in TASKS]
            if found:
                return lambda: shell_programs(_constant(found[0]))
        return None

    @staticmethod
    def _unknown() -> t.Set[str]:
        raise Unknown

    def _comment(self, node: ast.AST) -> t.Optional[t.Set[str]]:
        """The programs in the comment of a call; None without one. The comment is on a line of the call, or on the line before."""
        whole: t.Any = self.parents[node] if isinstance(node, ast.Attribute) else node
        lines = [line for line in range(whole.lineno - 1, (whole.end_lineno or whole.lineno) + 1) if line in self.comments]
        self.used.update(lines)
        if not lines:
            return None
        return {word for line in lines for word in re.split(r"[,\s]+", re.sub(r"\(.*?\)", "", self.comments[line])) if word}

    def _heads(self, node: ast.AST, at: ast.AST) -> t.Set[str]:
        """The programs that a command may begin with. at: the place of the command."""
        if any(
            isinstance(one, ast.Attribute) and ast.unparse(one) == "sys.executable" for one in ast.walk(node)
        ) and not isinstance(node, (ast.IfExp, ast.BinOp)):
            return {VENV}
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return {node.value.rpartition("/")[2]}
        if isinstance(node, (ast.List, ast.Tuple)) and node.elts:
            return self._heads(node.elts[0], at)
        if isinstance(node, ast.Starred):
            return self._heads(node.value, at)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._heads(node.left, at)
        if isinstance(node, ast.IfExp):
            return self._heads(node.body, at) | self._heads(node.orelse, at)
        if isinstance(node, ast.Name):
            return {head for value in self._values(node.id, at) for head in self._heads(value, at)}
        raise Unknown

    def _values(self, name: str, at: ast.AST) -> t.List[ast.AST]:
        """The values of a name, in its function or else in the file. Raises Unknown if it is bound in other ways than assignment."""
        scope: ast.AST = at
        while True:
            scope = self.parents.get(scope, self.tree)
            if isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                arguments = scope.args
                if name in [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]:
                    raise Unknown
            if isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Module)):
                found = [value for node in ast.walk(scope) for value in _bound(node, name)]
                if found:
                    return found
            if scope is self.tree:
                raise Unknown


def _in_text(node: ast.AST, place: str) -> t.Tuple[t.List[Use], t.List[str]]:
    """The same for a Python script in a string."""
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(r"^import .*\b(subprocess|os)\b", node.value, re.M)
    ):
        try:
            return Source(pathlib.Path(place), node.value, f"{place}, line ").look()
        except SyntaxError:
            pass
    return [], []


def _bound(node: ast.AST, name: str) -> t.List[ast.AST]:
    """The values that a statement binds to a name: by an assignment, or by a loop over a literal."""
    pairs: t.List[t.Tuple[ast.AST, t.Optional[ast.AST]]] = []
    if isinstance(node, ast.Assign):
        pairs = [(target, node.value) for target in node.targets]
    elif isinstance(node, ast.AnnAssign):
        pairs = [(node.target, node.value)]
    elif isinstance(node, (ast.For, ast.comprehension)):
        every = node.iter.elts if isinstance(node.iter, (ast.List, ast.Tuple)) else [None]
        pairs = [(node.target, one) for one in every]
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        pairs = [(node.optional_vars, None)]
    found = []
    for target, value in pairs:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            pairs_within: t.List[t.Tuple[ast.AST, ast.AST]] = list(zip(target.elts, value.elts))
        else:
            pairs_within = [(target, value or ast.Pass())]
        found += [value for one, value in pairs_within if isinstance(one, ast.Name) and one.id == name]
        if any(isinstance(one, ast.Name) and one.id == name for one in ast.walk(target)) and not found:
            raise Unknown
    return found


def _constant(node: ast.AST) -> str:
    """The text of a shell command. Interpolated parts are not programs."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(one.value) if isinstance(one, ast.Constant) else "{}" for one in node.values)
    raise Unknown


def shell_programs(text: str) -> t.Set[str]:
    """The first words of the parts of a shell command. Raises Unknown for a word that the shell has to expand."""
    found = set()
    text = re.sub(r"\"[^\"]*\"|'[^']*'", "''", text)
    text = re.sub(r"\d?>&\d|\\$", "", text, flags=re.MULTILINE)
    for part in re.split(r"[&;|\n]", text):
        words = [word for word in part.strip().lstrip("@-").split() if not re.match(r"[A-Za-z_]+=", word)]
        word = next((word for word in words if word not in _BEFORE), "")
        if word in _BUILTIN or word.startswith(("$(PYTHON)", "#")) or not word:
            continue
        if not re.match(r"[\w./+-]+\Z", word):
            raise Unknown
        found.add(word.rpartition("/")[2])
    return found


def makefile(text: str) -> t.List[Use]:
    """The programs in the recipes of a makefile."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.startswith("\t")]
    return [Use(program, f"Makefile:{number}") for number, line in lines for program in sorted(shell_programs(line))]


class Packages:
    """The files of requirements/: in each, programs by package."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.programs: t.Dict[str, t.Dict[str, t.Set[str]]] = {}
        self.wrong: t.List[str] = []
        for path in sorted(directory.glob("apt*.txt")):
            listed = self.programs[path.name] = {}
            for line in path.read_text().splitlines():
                name, sign, words = line.partition("#")
                if not name.strip():
                    continue
                if not sign:
                    self.wrong.append(f"requirements/{path.name}: {name}: say what is used of it: {name}  # PROGRAM, or (why)")
                listed[name.strip()] = set(re.sub(r"\(.*?\)", "", words).replace(",", " ").split())

    def lists(self, use: Use) -> bool:
        """Whether a requirements file for the place has the program."""
        files = ["apt.txt", *(file for beginning, file in MORE.items() if use.place.startswith(beginning))]
        return any(use.program in programs for file in files for programs in self.programs.get(file, {}).values())

    def check(self, uses: t.Iterable[Use]) -> t.List[str]:
        """The mistakes in the files themselves: packages without the program, programs that nothing starts."""
        started, wrong = {use.program for use in uses} | set(INDIRECT), list(self.wrong)
        for file, listed in self.programs.items():
            for package, programs in listed.items():
                wrong += [f"requirements/{file}: {package}: nothing starts {one}" for one in sorted(programs - started)]
                files = _files(package)
                if files is None:
                    print(f"note: {package} is not installed, so its programs are not looked for")
                    continue
                wrong += [f"requirements/{file}: {package} has no {one}" for one in sorted(programs - files)]
        return wrong


def _files(package: str) -> t.Optional[t.Set[str]]:
    """The names of a package's programs; None where it is not installed."""
    done = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    return {line.rpartition("/")[2] for line in done.stdout.splitlines() if re.search(r"/s?bin/[^/]+\Z", line)}


def of_debian(program: str) -> bool:
    """Whether the program is in a package that every Debian has: an essential or a required one."""
    found = shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin")  # starts: (whatever is looked for)
    if not found:
        return False
    # The name in the package: /bin leads to /usr/bin, and alternatives lead elsewhere.
    paths = {found, found.replace("/usr/", "/", 1), str(pathlib.Path(found).resolve())}
    owners = subprocess.run(["dpkg", "-S", *sorted(paths)], capture_output=True, text=True, check=False).stdout
    names = {line.partition(":")[0] for line in owners.splitlines()}
    query = ["dpkg-query", "-W", "-f", "${Essential} ${Priority}\n", *sorted(names)]
    kinds = subprocess.run(query, capture_output=True, text=True, check=False).stdout if names else ""
    return any(kind in ("yes", "required") for kind in kinds.split())


def uses_in(root: pathlib.Path) -> t.Tuple[t.List[Use], t.List[str]]:
    """The programs that the tests and tools of a checkout start, and the mistakes in how they do it."""
    uses, wrong = makefile((root / "Makefile").read_text()), []
    every = [path for name in ("tests", "tools") for path in sorted((root / name).rglob("*.py"))]
    for path in every:
        if path.name == "test_programs.py":  # its texts break the rules on purpose
            continue
        found, complaints = Source(path, path.read_text(), str(path.relative_to(root))).look()
        uses += found
        wrong += complaints
    return uses, wrong


def main(root: pathlib.Path = ROOT) -> int:
    uses, wrong = uses_in(root)
    packages = Packages(root / "requirements")
    every = [*uses, *(Use(program, why) for program, why in INDIRECT.items())]
    missing: t.Dict[str, str] = {}
    for use in every:
        if use.program not in missing and not packages.lists(use):
            missing[use.program] = use.place
    venv = pathlib.Path(sys.executable).parent
    for program, place in missing.items():
        if not (venv / program).exists() and not of_debian(program):
            wrong.append(f"{place}: {program} is of no package in requirements/")
    wrong += packages.check(uses)
    print("\n".join(wrong), end="\n" if wrong else "")
    print(f"note: {len({use.program for use in every})} programs")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
