"""A container without a container engine: the image's root, user and command lines, in namespaces of the test's own."""

import os
import re
import shlex
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from tests.kit.operations import FOLDER, instruction
from tests.kit.processes import ROOT

GIVEN = "/given"
"""Where the container sees the folder that it was given, and cannot write to it."""

_SCRIPT = """
set -e
root=$1; mkdir -p "$root"; mount -t tmpfs -o mode=755 tmpfs "$root"
show() { mkdir -p "$root$2"; mount --rbind "$1" "$root$2"; mount -o remount,bind,ro "$root$2"; }
empty() { mkdir -p "$root$1"; mount -t tmpfs -o "mode=2777,gid=$user" tmpfs "$root$1"; }
for name in bin sbin lib lib64 usr etc; do
    if [ -L "/$name" ]; then cp -P "/$name" "$root"; elif [ -d "/$name" ]; then show "/$name" "/$name"; fi
done
for name in proc dev; do mkdir "$root/$name"; mount --rbind "/$name" "$root/$name"; done
case "$python" in /usr) ;; *) show "$python" "$python";; esac
show "$packages" /packages
show "$actors" /opt/tunnel-supervisor/actors
show "$given" /given
empty /tmp; empty /var/lib/tunnel-supervisor
mount -o remount,ro "$root"
shift
exec chroot "$root" setpriv --reuid "$user" --regid "$user" --groups "$user" --bounding-set=-all --inh-caps=-all \\
    --no-new-privs env -i "$@"
"""
"""Makes the root: what the image has, read-only, and what Kubernetes gives for `emptyDir` with an fsGroup. It goes with
the process, which becomes the command."""


def user() -> int:
    """The number that the image runs as."""
    found = re.search(r"^USER (\d+):\1$", (FOLDER / "Containerfile").read_text(), re.M)
    assert found is not None
    return int(found[1])


def variables() -> dict[str, str]:
    """The image's environment."""
    found = re.search(r"^ENV (.*)$", (FOLDER / "Containerfile").read_text(), re.M)
    assert found is not None
    return dict(word.split("=", 1) for word in shlex.split(found[1]))


def in_the_image(
    arguments: list[str], *, root: Path, given: Path, port: int, environment: Mapping[str, str]
) -> list[str]:
    """The command line of a container with these arguments. Needs root.

    `root`: where its root is put together. `given`: a folder that it sees at `GIVEN`. `port`: that of its metrics: its
    network is this machine's.
    """
    python, *words = instruction("ENTRYPOINT")
    assert python == "python"
    words = [re.sub(r"^0\.0\.0\.0:\d+$", f"127.0.0.1:{port}", word) for word in words]
    made = variables()
    made["PYTHONPATH"] += ":/packages"
    script = "\n".join(
        f"{name}={shlex.quote(str(value))}"
        for name, value in {
            "user": user(),
            "python": sys.base_prefix,
            "packages": sysconfig.get_path("purelib"),
            "actors": ROOT / "actors",
            "given": given,
        }.items()
    )
    inside = [f"{name}={value}" for name, value in {**made, **environment}.items()]
    program = str(Path(sys.executable).resolve())
    shell = ["sh", "-c", script + _SCRIPT, "container", str(root)]
    return ["unshare", "--mount", "--propagation", "private", *shell, *inside, program, *words, *arguments]


def secret_volume(folder: Path, name: str, content: str, *, group: int) -> None:
    """A file as Kubernetes mounts a Secret with `defaultMode: 0440`: behind two links, root's and the fsGroup's."""
    data = folder / "..2026_11_26"
    data.mkdir(parents=True)
    (data / name).write_text(content)
    os.chown(data / name, 0, group)
    (data / name).chmod(0o440)
    (folder / "..data").symlink_to(data.name)
    (folder / name).symlink_to(f"..data/{name}")
